# syntax=docker/dockerfile:1
# Pin the digests of both bases in your own pipeline (python:3.13-slim@sha256:…): a tag moves. Both must be of the same
# Python: the one is the other with a C compiler, which compiles the data plane and stays behind.

FROM python:3.13 AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 HATCH_BUILD_HOOKS_ENABLE=true
WORKDIR /src
# Dependencies first: this layer is made anew only when a lock changes. Every file is checked against its hash.
COPY locks/core.txt locks/build.txt locks/
RUN ["python", "-m", "venv", "/opt/sidecar"]
RUN ["/opt/sidecar/bin/python", "-m", "pip", "install", "--require-hashes", "-r", "locks/core.txt"]
RUN ["python", "-m", "pip", "install", "--require-hashes", "-r", "locks/build.txt"]
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY registry_client registry_client
COPY sidecar sidecar
RUN ["python", "-m", "hatchling", "build", "-t", "wheel", "-d", "/dist"]
RUN ["mkdir", "/state"]
RUN ["/opt/sidecar/bin/python", "-m", "pip", "install", "--no-deps", "--no-index", "--find-links", "/dist", "serving-sidecar"]

FROM python:3.13-slim
LABEL org.opencontainers.image.title="serving-sidecar" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/sidecar /opt/sidecar
# An empty folder that belongs to the user below. A number needs no entry in /etc/passwd, and shows that it is not root.
COPY --from=build --chown=10001:10001 /state /var/lib/sidecar
ENV PATH=/opt/sidecar/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
# `state_dir: ./sidecar-state` is in the volume. The root file system may be read-only; /tmp must be writable.
WORKDIR /var/lib/sidecar
VOLUME /var/lib/sidecar
# The data plane and the admin API, where the configuration says `listen: 0.0.0.0:8080` and `admin: {listen: 0.0.0.0:8081}`.
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Control alone answers this. Traffic goes on without it, so let an orchestrator act on it slowly, or on the data port.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=6 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8081/healthz', timeout=2)"]
ENTRYPOINT ["sidecar"]
CMD ["run", "-c", "/etc/sidecar/config.yaml"]
