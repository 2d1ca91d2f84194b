"""Runs a script with a TLS address in front of the gateway: Customer.io's clients for Python speak nothing else.

Usage: tls.py ENDPOINTS COMMAND...

The command gets the address in TILLSTREAM_TLS, and in the usual variables a certificate that is made here and trusted
by nobody else. Bytes pass both ways as they are.
"""

import datetime
import ipaddress
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certificate(folder):
    """A certificate of 127.0.0.1 with its key, in two files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tillstream tests")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return public, private


def pump(source, target):
    """Bytes of one direction, until its end; then the other side hears that there are no more."""
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def connect(plain, context, gateway):
    """One connection, from its handshake to its end."""
    try:
        client = context.wrap_socket(plain, server_side=True)
        server = socket.create_connection(gateway)
    except OSError as error:
        print(f"tls.py: a connection failed: {error}", file=sys.stderr)
        plain.close()
        return
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)


def serve(listener, context, gateway):
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=connect, args=(plain, context, gateway), daemon=True).start()


def main(endpoints, *command):
    url = urllib.parse.urlsplit(json.loads(pathlib.Path(endpoints).read_text())["gateway"])
    with tempfile.TemporaryDirectory() as folder:
        public, private = certificate(pathlib.Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(public, private)
        listener = socket.create_server(("127.0.0.1", 0))
        arguments = (listener, context, (url.hostname, url.port))
        threading.Thread(target=serve, args=arguments, daemon=True).start()
        environment = dict(os.environ, TILLSTREAM_TLS=f"https://127.0.0.1:{listener.getsockname()[1]}")
        for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
            environment[variable] = str(public)
        sys.exit(subprocess.run(command, env=environment).returncode)


if __name__ == "__main__":
    main(*sys.argv[1:])
