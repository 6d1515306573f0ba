"""What is scraped beside the service: the certificate of an address, and the time of the last backup."""

import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from drills.ports import free_ports
from tests.faults.test_tls import Authority
from tests.prometheus import tool


class _Answer(BaseHTTPRequestHandler):
    """The exposition of a backup that has just ended, to whoever asks."""

    def do_GET(self) -> None:
        body = f"authsvc_backup_last_success_timestamp_seconds {time.time()}\n".encode()  # noqa: TID251 - Prometheus' clock
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def jobs(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Serve both until the block ends; yield the scrape configurations."""
    authority = Authority(folder, "authority")
    certificate, key = authority.certify("localhost", folder)
    secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secured.load_cert_chain(certificate, key)
    with ExitStack() as stack:
        backup = stack.enter_context(_listening())
        public = stack.enter_context(_listening(secured))
        blackbox = stack.enter_context(_blackbox(folder, authority.file))
        targets = [{"targets": [f"https://localhost:{public}"]}]
        yield [
            {"job_name": "backup", "static_configs": [{"targets": [f"127.0.0.1:{backup}"]}]},
            {
                "job_name": "blackbox",
                "metrics_path": "/probe",
                # It keeps half a second of the time for its answer.
                "scrape_interval": "5s",
                "scrape_timeout": "5s",
                "static_configs": targets,
                # https://github.com/prometheus/blackbox_exporter#prometheus-configuration
                "relabel_configs": [
                    {"source_labels": ["__address__"], "target_label": "__param_target"},
                    {"source_labels": ["__param_target"], "target_label": "instance"},
                    {"target_label": "__address__", "replacement": blackbox},
                ],
            },
        ]


@contextmanager
def _listening(secured: ssl.SSLContext | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    if secured:
        server.socket = secured.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _blackbox(folder: Path, authority: Path) -> Iterator[str]:
    http = {"preferred_ip_protocol": "ip4", "tls_config": {"ca_file": str(authority)}}
    config, log = folder / "blackbox.yml", folder / "blackbox.log"
    config.write_text(yaml.safe_dump({"modules": {"http_2xx": {"prober": "http", "http": http}}}), "utf-8")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    program = tool("prometheus-blackbox-exporter")
    command = [program, f"--config.file={config}", f"--web.listen-address={address}"]
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        yield address
        process.terminate()
