"""What a topic refused once is not sent to it again."""

from worker.stream.kafka import OutputRecord
from worker.stream.record_limits import RecordLimits


def of_size(size: int, topic: str = "dlq") -> OutputRecord:
    return OutputRecord(topic, b"k", bytes(size - 4), (("h", b"22"),))


def test_a_refused_size_is_made_smaller_until_it_fits() -> None:
    limits = RecordLimits(["dlq"])
    assert limits.fits(of_size(10**6))
    assert limits.refused("dlq", 1000)
    assert not limits.fits(of_size(1000))
    assert limits.fits(of_size(999))
    assert limits.fits(of_size(1000, "other"))
    assert limits.refused("dlq", 500)
    assert not limits.refused("dlq", 500), "what is refused again cannot be made smaller"


def test_records_of_other_topics_cannot_be_made_smaller() -> None:
    assert not RecordLimits(["dlq"]).refused("moderated", 1000)
