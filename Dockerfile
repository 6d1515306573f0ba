# The image holds what `authsvc serve` and `authsvc migrate` need and nothing more: no tests, no pip, no compiler.
#
#   docker build --tag authsvc .
#
# A tag can be moved to another image, a digest cannot. For a build that can be repeated, look the digest up once
# (`docker buildx imagetools inspect python:3.11.15-slim-bookworm`), keep it with your deployment, and pass it:
#
#   docker build --build-arg PYTHON_DIGEST=sha256:… --tag authsvc .
#
# Behind a mirror of PyPI, or a proxy with a certificate of its own, lend pip its configuration; no layer keeps it:
#
#   docker build --secret id=pip.conf,src=pip.conf --secret id=ca.pem,src=ca.pem --tag authsvc .
#
# (in that pip.conf the certificate is `cert = /run/secrets/ca.pem`).

ARG PYTHON_IMAGE=docker.io/library/python:3.11.15-slim-bookworm
ARG PYTHON_DIGEST=""

FROM ${PYTHON_IMAGE}${PYTHON_DIGEST:+@$PYTHON_DIGEST} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_CONFIG_FILE=/run/secrets/pip.conf
WORKDIR /src
# pip lives in a virtual environment beside the one that is shipped, which has none.
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/venv
# service-otel: with OpenTelemetry, for AUTHSVC_TRACES.
ARG REQUIREMENTS=service
COPY requirements/${REQUIREMENTS}.txt requirements/run.txt requirements/
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.pem \
    /opt/build/bin/pip --python /opt/venv/bin/python install --quiet \
    --require-hashes --requirement "requirements/${REQUIREMENTS}.txt"
# Of that lock only the build backend and what it needs; should it need more one day, pip refuses for want of a hash.
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.pem \
    awk '/^[a-z]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' \
    requirements/run.txt >build.txt \
    && /opt/build/bin/pip install --quiet --require-hashes --requirement build.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY migrations migrations
COPY sql sql
COPY templates templates
COPY src src
RUN /opt/build/bin/pip wheel --quiet --no-index --no-build-isolation --no-deps --wheel-dir dist . \
    && /opt/build/bin/pip --python /opt/venv/bin/python install --quiet --no-index --no-deps dist/*.whl

FROM ${PYTHON_IMAGE}${PYTHON_DIGEST:+@$PYTHON_DIGEST}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="authsvc" \
      org.opencontainers.image.description="An authentication service on aiohttp and PostgreSQL." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /opt/venv /opt/venv
# Nothing is written at run time: it runs with a read-only file system. In a container it must listen on every address;
# publish 8080, and let only probes and Prometheus reach 9090.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    AUTHSVC_HOST=0.0.0.0 \
    AUTHSVC_ADMIN_HOST=0.0.0.0
# By number, so that Kubernetes' runAsNonRoot can tell; no entry in /etc/passwd is needed.
USER 65532:65532
WORKDIR /
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import http.client, os; port = int(os.environ.get('AUTHSVC_ADMIN_PORT', '9090')); connection = http.client.HTTPConnection('127.0.0.1', port, timeout=2); connection.request('GET', '/livez'); raise SystemExit(connection.getresponse().status != 200)"]
# Exec form: Python is process 1 and hears SIGTERM itself. It starts no processes, so it needs no init to reap them.
ENTRYPOINT ["authsvc"]
CMD ["serve"]
