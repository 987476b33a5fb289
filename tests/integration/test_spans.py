"""A producer's trace with the worker's spans, in a receiver of OTLP over gRPC, on a real Kafka."""

from tests.otlp_receiver import GrpcOtlpReceiver
from tests.traced import check_spans
from tests.workplace import Workplace


def test_spans_of_both_roles_join_the_producers_trace_on_every_outcome(workplace: Workplace) -> None:
    with GrpcOtlpReceiver() as receiver:
        check_spans(workplace, receiver, {"endpoint": receiver.endpoint, "protocol": "grpc"})
