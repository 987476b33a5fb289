"""Every metric of the worker, in the order of the data flow.

Names are `mekiki_<stage>_<what>_<unit>`. No ids as labels: every label has a small, closed set
of values. A `Metrics` object belongs to one registry, so that tests and two roles in one process
do not meet.
"""

from collections.abc import Mapping, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.policy import Decision
from schemas.rejection import RejectionReason

_STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LATENCY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)
_BATCH_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# What becomes of an image that a shadow is offered: it waits for nothing, and much may be dropped.
SHADOW_RESULTS = (
    "published", "unpublished", "behind", "down", "failed", "late", "crashed", "repeated",
)  # fmt: skip
# What becomes of a record of the embedded topic in another space.
REEMBED_RESULTS = (
    "embedded", "copied", "deleted", "upload_gone", "store_failed", "rejected", "changed", "unreadable",
)  # fmt: skip
_SCORE = tuple(i / 20 for i in range(1, 21))


class Metrics:
    """The metrics of one role, registered on `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._build = ("", "", "")
        self._add_program(registry)
        self._add_poll(registry)
        self._add_fetch_and_decode(registry)
        self._add_stores(registry)
        self._add_models(registry)
        self._add_decide(registry)
        self._add_shadow(registry)
        self._add_commit(registry)
        self._add_index(registry)
        self._add_vald(registry)
        self._add_console(registry)
        self._add_webhooks(registry)
        self._add_reembed(registry)

    def set_build(self, role: str, version: str, bundle: str, provider: str) -> None:
        """Tell which program and models run."""
        self._build = (role, version, provider)
        self.build_info.clear()
        self.build_info.labels(role, version, bundle, provider).set(1)

    def set_bundle(self, bundle: str, reference: Mapping[str, Sequence[float]]) -> None:
        """Tell that another bundle serves, and how its scores were spread."""
        role, version, provider = self._build
        self.set_build(role, version, bundle, provider)
        self.set_reference(reference)

    def set_reference(self, reference: Mapping[str, Sequence[float]]) -> None:
        """Tell how the scores of the bundle that serves were spread, in bins."""
        self.decide_reference.clear()
        for score, shares in reference.items():
            for number, share in enumerate(shares):
                self.decide_reference.labels(score, number).set(share)
                self.decide_bins.labels(score, number)  # shown from the start, as 0

    def note_decoder_death(self, reason: str) -> None:
        """Count a decoder process that ended over an image: late, cpu or crashed."""
        self.decode_deaths.labels(reason).inc()

    def _add_program(self, registry: CollectorRegistry) -> None:
        # Which program and models run. Always 1.
        self.build_info = Gauge(
            "mekiki_build_info",
            "Version and bundle.",
            ["role", "version", "bundle", "provider"],
            registry=registry,
        )

        # Whether a role can take work; what /readyz says.
        self.health_ready = Gauge(
            "mekiki_health_ready_ratio", "1 while the role is ready.", ["role"], registry=registry
        )

    def _add_poll(self, registry: CollectorRegistry) -> None:
        # poll: events taken from Kafka, and how far behind the worker is.
        self.poll_events = Counter("mekiki_poll_events", "Events polled.", ["role"], registry=registry)
        self.poll_lag = Gauge(
            "mekiki_poll_lag_records",
            "Records that the group has not committed, of every partition, by Kafka.",
            ["topic", "partition"],
            registry=registry,
        )
        self.poll_committed = Gauge(
            "mekiki_poll_committed_offsets",
            "The group's offset, of every partition, by Kafka.",
            ["topic", "partition"],
            registry=registry,
        )
        self.poll_paused = Gauge("mekiki_poll_paused_ratio", "1 while polling is paused.", registry=registry)
        self.poll_assigned = Gauge(
            "mekiki_poll_assigned_partitions", "Partitions assigned.", ["role"], registry=registry
        )

        # Offsets that did not go on where they were, and how many of them have no outcome for it.
        self.poll_resets = Counter(
            "mekiki_poll_offset_resets", "Partitions read from elsewhere on.", ["reason"], registry=registry
        )
        self.poll_lost_offsets = Counter(
            "mekiki_poll_lost_offsets", "Offsets without an outcome.", ["reason"], registry=registry
        )

        # Partitions that stand still before a batch that was damaged on a broker.
        self.poll_unreadable = Gauge(
            "mekiki_poll_unreadable_partitions",
            "Partitions that stand before a batch that cannot be read.",
            ["role"],
            registry=registry,
        )

        # Partitions whose last owner died, and their events that are taken one at a time for it.
        self.poll_unclean_ends = Counter(
            "mekiki_poll_unclean_ends", "Partitions taken over from a process that died.", registry=registry
        )
        self.poll_apart = Gauge(
            "mekiki_poll_apart_events", "Events that wait to be taken one at a time.", registry=registry
        )

    def _add_fetch_and_decode(self, registry: CollectorRegistry) -> None:
        # The time of each stage: of one event (parse, fetch, decode, codes), a batch (infer, tag),
        # or a commit.
        self.stage_seconds = Histogram(
            "mekiki_stage_duration_seconds",
            "Time by stage.",
            ["stage"],
            buckets=_STAGE_SECONDS,
            registry=registry,
        )

        # fetch: bytes brought in.
        self.fetch_bytes = Counter("mekiki_fetch_bytes", "Image bytes fetched.", registry=registry)

        # decode: processes that ended over an image; another took its place.
        self.decode_deaths = Counter(
            "mekiki_decode_deaths",
            "Decoder processes that ended over an image.",
            ["reason"],
            registry=registry,
        )
        for reason in ("late", "cpu", "crashed"):
            self.decode_deaths.labels(reason)

    def _add_stores(self, registry: CollectorRegistry) -> None:
        # Stores that fail: how many hosts, whether they are waited for, and what comes back later.
        self.fetch_hosts_down = Gauge(
            "mekiki_fetch_down_hosts", "Hosts that are asked now and then only.", registry=registry
        )
        self.fetch_waiting = Gauge(
            "mekiki_fetch_waiting_ratio", "1 while polling waits for stores that fail.", registry=registry
        )
        self.retry_parked = Counter(
            "mekiki_retry_parked", "Events parked until their store serves.", ["reason"], registry=registry
        )
        self.retry_waiting = Gauge(
            "mekiki_retry_waiting_events", "Parked events of the assigned partitions.", registry=registry
        )
        self.retry_oldest = Gauge(
            "mekiki_retry_oldest_timestamp_seconds",
            "Unix time at which the oldest of them was parked first; 0: there is none.",
            registry=registry,
        )

    def _add_models(self, registry: CollectorRegistry) -> None:
        # codes: what was read, where the stage is on. Never what it says.
        self.codes_read = Counter("mekiki_codes_read", "Codes read in images.", ["format"], registry=registry)

        # infer: how full batches are.
        self.infer_batch = Histogram(
            "mekiki_infer_batch_images", "Images in a batch.", buckets=_BATCH_IMAGES, registry=registry
        )

        self.infer_repeats = Counter(
            "mekiki_infer_repeated_images", "Images of bytes that were judged before.", registry=registry
        )

        self.infer_bundles = Counter(
            "mekiki_infer_bundles", "Bundles that came while running.", ["result"], registry=registry
        )

        # tag: the set of tags in use, and sets that came to take its place.
        self.tag_set_info = Gauge(
            "mekiki_tag_set_info", "The tag set in use. Always 1.", ["version"], registry=registry
        )
        self.tag_sets = Counter(
            "mekiki_tag_sets", "Tag sets that came while running.", ["result"], registry=registry
        )

    def _add_decide(self, registry: CollectorRegistry) -> None:
        # decide: what came of it.
        self.decide_decisions = Counter(
            "mekiki_decide_decisions", "Images by decision.", ["decision"], registry=registry
        )
        # Shown from the start: a ratio of what has not happened yet is 0, not missing.
        for decision in get_args(Decision):
            self.decide_decisions.labels(decision)
        self.decide_reviewed = Counter(
            "mekiki_decide_reviewed", "Images by a person's decision.", ["decision"], registry=registry
        )
        for decision in ("accept", "block"):
            self.decide_reviewed.labels(decision)
        self.decide_scores = Histogram(
            "mekiki_decide_score_ratio", "Scores, 0 to 1.", ["score"], buckets=_SCORE, registry=registry
        )
        # Drift: scores in ten bins, beside those of the bundle's reference.
        self.decide_bins = Counter(
            "mekiki_decide_score_bins", "Scores by bin.", ["score", "bin"], registry=registry
        )
        self.decide_reference = Gauge(
            "mekiki_decide_score_reference_ratio",
            "Share of the bundle's reference in a bin.",
            ["score", "bin"],
            registry=registry,
        )
        self.decide_rejections = Counter(
            "mekiki_decide_rejections", "Events rejected to the DLQ.", ["reason"], registry=registry
        )
        for reason in RejectionReason:
            self.decide_rejections.labels(reason)
        self.decide_removals = Counter(
            "mekiki_decide_removals", "Image deletions passed on.", registry=registry
        )

        self.decide_passed_over = Counter(
            "mekiki_decide_passed_over", "Events that change no image.", ["reason"], registry=registry
        )

    def _add_shadow(self, registry: CollectorRegistry) -> None:
        # canary: a second bundle that decides about a share of the images.
        self.canary_info = Gauge(
            "mekiki_canary_bundle_info", "The bundle of the canary. Always 1.", ["bundle"], registry=registry
        )
        self.canary_decisions = Counter(
            "mekiki_canary_decisions", "Images by the canary's decision.", ["decision"], registry=registry
        )
        for decision in get_args(Decision):
            self.canary_decisions.labels(decision)
        # shadow: a second bundle that is tried on the stream; what it would have decided.
        self.shadow_info = Gauge(
            "mekiki_shadow_bundle_info", "The bundle that is tried. Always 1.", ["bundle"], registry=registry
        )
        self.shadow_up = Gauge("mekiki_shadow_up_ratio", "1 while the shadow runs.", registry=registry)
        self.shadow_images = Counter(
            "mekiki_shadow_images", "Images offered to the shadow.", ["result"], registry=registry
        )
        for result in SHADOW_RESULTS:
            self.shadow_images.labels(result)
        self.shadow_ends = Counter(
            "mekiki_shadow_deaths", "Shadows that ended or did not start.", ["reason"], registry=registry
        )
        for reason in ("late", "crashed", "refused", "failed"):
            self.shadow_ends.labels(reason)
        self.shadow_decisions = Counter(
            "mekiki_shadow_decisions", "Images by both decisions.", ["served", "decision"], registry=registry
        )
        self.shadow_disagreements = Counter(
            "mekiki_shadow_disagreements",
            "Scores that would have led elsewhere.",
            ["score", "direction"],
            registry=registry,
        )

    def _add_commit(self, registry: CollectorRegistry) -> None:
        # commit: outcomes made durable, and how long after the upload.
        self.commit_outcomes = Counter(
            "mekiki_commit_outcomes", "Outcomes committed.", ["role"], registry=registry
        )
        self.commit_transactions = Counter(
            "mekiki_commit_attempts", "Commits by result.", ["role", "result"], registry=registry
        )
        self.commit_latency = Histogram(
            "mekiki_commit_upload_latency_seconds",
            "From the upload's record to its committed outcome.",
            buckets=_LATENCY_SECONDS,
            registry=registry,
        )
        self.commit_in_flight = Gauge(
            "mekiki_commit_in_flight_events", "Polled, not committed.", registry=registry
        )
        self.commit_last = Gauge(
            "mekiki_commit_last_timestamp_seconds",
            "Unix time of the last commit.",
            ["role"],
            registry=registry,
        )
        self.commit_halted = Gauge(
            "mekiki_commit_halted_ratio", "1 while halted by the rejection limit.", registry=registry
        )

    def _add_index(self, registry: CollectorRegistry) -> None:
        # index: what is searchable, how old it is, how search does.
        self.index_vectors = Gauge("mekiki_index_vectors", "Searchable images.", registry=registry)
        self.index_tail = Gauge(
            "mekiki_index_tail_records", "Changes since the generation, searched exactly.", registry=registry
        )
        self.index_generation_timestamp = Gauge(
            "mekiki_index_generation_timestamp_seconds",
            "Unix time of the generation in use.",
            registry=registry,
        )
        self.index_updates = Counter(
            "mekiki_index_updates", "Records applied to the index.", ["state"], registry=registry
        )
        self.index_rejections = Counter(
            "mekiki_index_rejections", "Embedded records rejected.", ["reason"], registry=registry
        )
        self.index_passed_over = Counter(
            "mekiki_index_passed_over",
            "Embedded records of another space, and copy vectors that were left out for theirs.",
            ["reason"],
            registry=registry,
        )
        # By what is kept of the images: embedding, with all that searches need, and copy.
        self.index_memory_bytes = Gauge(
            "mekiki_index_memory_bytes",
            "Vectors, graphs and attributes in memory, or files mapped into it.",
            ["kind"],
            registry=registry,
        )
        self.index_disk_bytes = Gauge(
            "mekiki_index_disk_bytes", "Segments of the generation in use.", ["kind"], registry=registry
        )
        self.index_near_duplicates = Counter(
            "mekiki_index_near_duplicates", "New images with a near-duplicate.", registry=registry
        )
        self.index_latency = Histogram(
            "mekiki_index_update_latency_seconds",
            "From the embedded record to its acknowledgement.",
            buckets=_LATENCY_SECONDS,
            registry=registry,
        )
        self.index_build_seconds = Histogram(
            "mekiki_index_build_duration_seconds",
            "Time of a generation's build.",
            ["result"],
            buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800),
            registry=registry,
        )
        # Of the true neighbours of a few searches: those that were found, by exact search beside them.
        self.index_sampled_neighbours = Counter(
            "mekiki_index_sampled_neighbours", "Neighbours looked for exactly.", ["result"], registry=registry
        )

        # The next index, of another space, while there is one (index.next).
        self.index_next_vectors = Gauge(
            "mekiki_index_next_vectors", "Searchable images of the next index.", registry=registry
        )
        self.index_next_ready = Gauge(
            "mekiki_index_next_ready_ratio", "1 while the next index has caught up.", registry=registry
        )
        self.index_next_serves = Gauge(
            "mekiki_index_next_serves_ratio", "1 while the next index answers searches.", registry=registry
        )
        self.index_next_errors = Counter(
            "mekiki_index_next_errors", "Ends of the next index, which is begun again.", registry=registry
        )
        self.search_seconds = Histogram(
            "mekiki_search_duration_seconds",
            "Time of a search.",
            ["kind"],
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self.search_errors = Counter(
            "mekiki_search_errors", "Searches refused.", ["reason"], registry=registry
        )

    def _add_vald(self, registry: CollectorRegistry) -> None:
        # vald: the cluster of an index past one machine: calls to it, what it should hold, what it does.
        self.vald_seconds = Histogram(
            "mekiki_vald_call_duration_seconds",
            "Time of a call to the cluster.",
            ["kind", "result"],
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self.vald_expected = Gauge(
            "mekiki_vald_expected_vectors",
            "Different vectors that the cluster is to hold.",
            registry=registry,
        )
        self.vald_stored = Gauge(
            "mekiki_vald_stored_vectors",
            "Vectors that its agents say they hold, replicas among them.",
            registry=registry,
        )
        self.vald_refills = Counter(
            "mekiki_vald_refills", "Times that an agent had lost vectors.", registry=registry
        )

    def _add_console(self, registry: CollectorRegistry) -> None:
        # console: what it has read, what waits for people, how fast its pages are.
        self.console_lag = Gauge(
            "mekiki_console_lag_records", "Records that the console has not read.", registry=registry
        )
        self.console_waiting = Gauge(
            "mekiki_console_waiting_images", "Images that wait for people.", ["queue"], registry=registry
        )
        for queue in ("review", "near"):
            self.console_waiting.labels(queue)
        self.console_oldest = Gauge(
            "mekiki_console_oldest_timestamp_seconds",
            "Unix time of the oldest verdict in review; 0: there is none.",
            registry=registry,
        )
        self.console_seconds = Histogram(
            "mekiki_console_duration_seconds",
            "Time of an answer.",
            ["result"],
            buckets=_STAGE_SECONDS,
            registry=registry,
        )

    def _add_webhooks(self, registry: CollectorRegistry) -> None:
        # webhook: messages to receivers, by what they made of them.
        self.webhook_deliveries = Counter(
            "mekiki_webhook_deliveries", "Messages sent to receivers.", ["result"], registry=registry
        )
        for result in ("delivered", "failed", "refused"):
            self.webhook_deliveries.labels(result)
        self.webhook_failing = Gauge(
            "mekiki_webhook_failing_timestamp_seconds",
            "Unix time since which a receiver takes nothing; 0: it takes all.",
            ["receiver"],
            registry=registry,
        )

    def _add_reembed(self, registry: CollectorRegistry) -> None:
        # reembed: vectors of one space again in another.
        self.reembed_images = Counter(
            "mekiki_reembed_images", "Records moved to the next index's space.", ["result"], registry=registry
        )
