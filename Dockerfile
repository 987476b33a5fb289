# One file, two images: VARIANT=cpu (default) and VARIANT=cuda.
#   make image        or   docker build -t mekiki:0.1.0 .
#   make image-cuda   or   docker build -t mekiki:0.1.0-cuda --build-arg VARIANT=cuda .
# A release names the base by its digest: --build-arg BASE=docker.io/library/debian:bookworm-slim@sha256:...
# (docs/operations.md, "What is in the image").
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS base
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*

FROM base AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip python3-venv gcc libc6-dev
WORKDIR /source
COPY locks locks
# The dependencies first: they change less often than the program. Without pip in the result. Each file that is
# installed has a digest in locks/ (make lock), and none of them is run to be built.
ARG VARIANT=cpu
RUN case "$VARIANT" in cpu|cuda) ;; *) echo "VARIANT is $VARIANT: it must be cpu or cuda" >&2; exit 1 ;; esac
RUN python3 -m venv --without-pip /opt/mekiki \
 && python3 -m pip --python /opt/mekiki install --no-cache-dir --only-binary :all: --require-hashes -r "locks/$VARIANT.txt" \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r locks/build.txt
COPY pyproject.toml README.md LICENSE build_kernel.py ./
COPY worker worker
COPY schemas schemas
COPY export export
COPY console console
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
 && python3 -m pip --python /opt/mekiki install --no-cache-dir --no-deps --no-index /tmp/wheel/*.whl \
 && find /opt/mekiki -name tests -type d -prune -exec rm -rf {} +

FROM base
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="mekiki" \
      org.opencontainers.image.description="Streaming moderation and indexing worker for marketplace images" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/mekiki /opt/mekiki
# Where pip has put CUDA; nothing in the image for CPUs.
RUN ls -d /opt/mekiki/lib/python3*/site-packages/nvidia/*/lib > /etc/ld.so.conf.d/mekiki.conf 2>/dev/null; ldconfig
ENV PATH=/opt/mekiki/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN groupadd --gid 10001 mekiki && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp mekiki
USER 10001:10001
# The one folder that a read-only root leaves to write in; the index has a volume of its own.
WORKDIR /tmp
EXPOSE 9464
# The worker drains for score.drain_timeout (20 s) after it: stop it with `docker stop -t 35`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
ENTRYPOINT ["mekiki"]
CMD ["run"]
