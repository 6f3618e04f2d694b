# Two stages: what is needed to install stays behind in the first. `make image` builds it.
# The image refuses to start until an API key exists, since inside a container every address can be reached by others:
#   docker run --rm -v data-hist:/data data-hist:latest data-hist keys create --scope query
#   docker run -d -p 8080:8080 -v data-hist:/data data-hist:latest

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/data-hist
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN /opt/data-hist/bin/pip install --require-hashes -r requirements.lock \
 && /opt/data-hist/bin/pip install --require-hashes -r requirements-build.lock
COPY . .
RUN /opt/data-hist/bin/pip install --no-deps --no-build-isolation . \
 && /opt/data-hist/bin/python -c "import api.server, cli.main"

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin data-hist \
 && install -d -o data-hist -g data-hist /data
COPY --from=build /opt/data-hist /opt/data-hist
ENV PATH=/opt/data-hist/bin:$PATH PYTHONUNBUFFERED=1 DATA_HIST_DATA_DIR=/data
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health/ready', timeout=2)"]
# one worker: the embedded engine uses all cores by itself
CMD ["gunicorn", "api.asgi:application()", "--worker-class", "api.worker.Worker", "--workers", "1", \
     "--bind", "0.0.0.0:8080", "--graceful-timeout", "60", "--timeout", "120", "--keep-alive", "75"]
