"""Each module of worker/ with functions has a test module of its own, in the same place under tests/unit."""

import ast
from pathlib import Path

_FORMATS = (
    "avif",
    "bmp",
    "colour",
    "gif",
    "high_dynamic_range",
    "jpeg",
    "load",
    "opaque",
    "orientation",
    "png",
    "webp",
)

# The modules without one, each with where it is held instead.
_ELSEWHERE = {
    "worker/compose.py": "a composition root: every integration test starts through it",
    "worker/run_console.py": "a composition root: tests/console starts through it",
    "worker/run_reembed.py": "a composition root: tests/integration/test_blue_green.py starts through it",
    "worker/run_webhooks.py": "a composition root: tests/integration/test_webhooks.py starts through it",
    **dict.fromkeys(("worker/webhooks/role.py",), "tests/integration/test_webhooks.py"),
    "worker/score/compose.py": "a composition root: every integration test starts through it",
    "worker/score/compose_pipeline.py": "a composition root: every integration test starts through it",
    "worker/index/compose.py": "a composition root: tests/integration/test_index_role_loop.py",
    **dict.fromkeys(
        (f"worker/model/{name}.py" for name in _FORMATS),
        "one format each: tests/unit/model/test_shown_pixels.py, tests/hostile/test_bytes.py",
    ),
    **dict.fromkeys(
        (f"worker/model/forest/{name}.py" for name in ("answers", "bits", "compiled", "jit")),
        "kernels: tests/unit/model/forest/test_evaluate.py; tests/integration/test_jit.py of numba's",
    ),
    "worker/model/replaceable.py": "test_watched_tags.py, test_watched_bundle.py",
    "worker/model/tag_rules.py": "tests/unit/model/test_tag.py, of both kinds of tags",
    "worker/model/decoder.py": "a child process: tests/hostile/test_decoders.py",
    "worker/model/decoders.py": "starts processes: tests/hostile/test_decoders.py",
    **dict.fromkeys(
        ("worker/replay/history.py", "worker/replay/image_events.py", "worker/stream/cause.py"),
        "what a replay looks at: tests/unit/replay/test_replay.py, tests/integration/test_replay_order.py",
    ),
    "worker/labels/commands.py": "tests/integration/test_reviews.py",
    **dict.fromkeys(
        (
            *("worker/review/commands.py", "worker/review/pictures.py"),
            *("worker/stream/log_reader.py", "worker/stream/story.py", "worker/stream/word.py"),
        ),
        "a person's word, and what the log says of an image: tests/integration/test_reviews.py",
    ),
    **dict.fromkeys(
        (
            *("worker/model/shadow_child.py", "worker/model/shadow_process.py", "worker/score/candidate.py"),
            *("worker/stream/best_effort.py", "worker/shadow/commands.py"),
        ),
        "a shadow's process, and what it says: tests/integration/test_shadow.py",
    ),
    **dict.fromkeys(
        ("worker/review/judge_again.py", "worker/review/again_process.py"),
        "a process that judges: tests/integration/test_judge_again.py",
    ),
    "worker/review/page.py": "tests/unit/policy/test_report.py, tests/unit/shadow/test_report.py",
    "worker/stream/topic_identity.py": "tests/unit/score/test_log_watch.py, test_log_changes.py",
    "worker/fetch/stream_around.py": "tests/unit/fetch/test_connections.py, test_framing.py, over TLS too",
    "worker/rights.py": "asks brokers: tests/helm/test_rights.py",
    "worker/score/again.py": "tests/unit/score/test_pipeline.py: shortages, and failures of our own",
    "worker/score/objects.py": "what notifications share: test_notifications.py, test_cloud_storage.py",
    "worker/score/validate.py": "what every form shares: test_parse.py",
    "worker/score/parsed.py": "a question to a store: test_notifications.py, test_prepare.py",
    "worker/score/judge.py": "tests/unit/test_golden.py holds every verdict of the starter bundle",
    "worker/index/ngt/builder.py": "starts processes: tests/integration/test_index_builder.py",
    "worker/demo/broker.py": "starts a process: tests/integration/test_demo.py",
    "worker/demo/program.py": "starts a process: tests/integration/test_demo.py",
    "worker/demo/run.py": "a composition root: tests/integration/test_demo.py",
    "worker/demo/watch.py": "draws on the terminal of a running demo: tests/integration/test_demo.py",
}


def _has_logic(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree))


def _mirror(module: Path) -> Path:
    return Path("tests/unit", *module.parts[1:-1], f"test_{module.name}")


def test_every_module_with_functions_has_its_mirror():
    modules = [path for path in sorted(Path("worker").rglob("*.py")) if _has_logic(path)]
    assert len(modules) > 50
    without = {path.as_posix() for path in modules if not _mirror(path).is_file()}
    assert without == set(_ELSEWHERE)


def test_every_mirror_has_its_module():
    tested = {path.as_posix() for root in ("worker", "console") for path in Path(root).rglob("*.py")}
    others = {
        *("docs", "golden", "kafka_server", "locks", "mirrors", "schemas"),  # of what is beside worker/
        *("model/luminance",),  # what decode gives to the codes stage
        *("model/shown_pixels",),  # of every format, beside a browser's
        *("score/role_several",),  # of records that hold several events
    }
    for path in Path("tests/unit").rglob("test_*.py"):
        name = Path(*path.parts[2:-1], path.stem.removeprefix("test_")).as_posix()
        mirrored = {f"worker/{name}.py", f"{name}.py"} & tested
        assert name in others or mirrored, f"{path} mirrors no module"
