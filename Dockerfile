# One file, two images: VARIANT=cpu (default) and VARIANT=cuda.
#   make image        or   docker build -t mekiki:0.1.0 .
#   make image-cuda   or   docker build -t mekiki:0.1.0-cuda --build-arg VARIANT=cuda .
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS base
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*

FROM base AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip python3-venv gcc libc6-dev
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE build_kernel.py ./
# The dependencies first: they change less often than the program. Without pip in the result.
ARG VARIANT=cpu
RUN python3 -m venv --without-pip /opt/mekiki \
 && case "$VARIANT" in \
      cpu) runtime='onnxruntime xgboost-cpu' ;; \
      # The CUDA and cuDNN that ONNX Runtime was built with. Tags stay on the CPU, which spares NCCL.
      cuda) runtime='onnxruntime-gpu[cuda,cudnn] xgboost-cpu' ;; \
      *) echo "VARIANT is $VARIANT: it must be cpu or cuda" >&2; exit 1 ;; \
    esac \
 && sed -i 's/^onnxruntime==\(.*\)/&\nonnxruntime-gpu==\1/' constraints.txt \
 && mkdir worker schemas export console \
 && touch worker/__init__.py schemas/__init__.py export/__init__.py console/__init__.py \
 && python3 -m pip --python /opt/mekiki install --no-cache-dir -c constraints.txt '.[codes,formats,console,console-postgres,otel,registry]' $runtime
COPY worker worker
COPY schemas schemas
COPY export export
COPY console console
RUN python3 -m pip --python /opt/mekiki install --no-cache-dir --no-deps --force-reinstall . \
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
