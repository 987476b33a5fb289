"""In place of Vald's discoverer, which asks Kubernetes: `python -m tests.vald.discoverer ADDRESS IP...`"""

import random
import sys
from concurrent import futures

import grpc
from vald.v1.payload import payload_pb2

Info = payload_pb2.Info
_CPU = Info.CPU(limit=1)


def _memory() -> Info.Memory:
    """The gateway writes to the agents that use least memory: drawn, so that each has its turn."""
    return Info.Memory(limit=1, usage=random.random())


def _pods(_: object, __: object) -> Info.Pods:
    return Info.Pods(pods=[_pod(ip) for ip in sys.argv[2:]])


def _pod(ip: str) -> Info.Pod:
    where = {"app_name": "vald-agent", "name": ip, "namespace": "default", "ip": ip}
    return Info.Pod(**where, cpu=_CPU, memory=_memory())


def _nodes(_: object, __: object) -> Info.Nodes:
    return Info.Nodes(
        nodes=[
            Info.Node(name=ip, internal_addr=ip, cpu=_CPU, memory=_memory(), Pods=Info.Pods(pods=[_pod(ip)]))
            for ip in sys.argv[2:]
        ]
    )


def _services(_: object, __: object) -> Info.Services:
    return Info.Services()


def main() -> None:
    """Serve until killed."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=payload_pb2.Discoverer.Request.FromString,
            response_serializer=kind.SerializeToString,
        )
        for name, answer, kind in (
            ("Nodes", _nodes, Info.Nodes),
            ("Pods", _pods, Info.Pods),
            ("Services", _services, Info.Services),
        )
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("discoverer.v1.Discoverer", methods),)
    )
    server.add_insecure_port(sys.argv[1])
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
