"""What a cluster with tokens or TLS decides before anything starts."""

from pathlib import Path

import pytest

from serve_apps import local_cluster
from serve_apps.cluster_config import ClusterConfig, Listen, load_config
from serve_apps.local_cluster import LocalCluster
from serve_apps.security_config import SecurityConfig
from serve_apps.token_folder import TokenFolder
from wire.errors import SettingError


@pytest.fixture(autouse=True)
def no_socket(monkeypatch):
    monkeypatch.setattr(local_cluster, "check_port", lambda host, port: None)
    monkeypatch.setattr(local_cluster, "free_ports", lambda count: [40001][:count])


@pytest.fixture
def tokens(tmp_path):
    TokenFolder(tmp_path / "tokens").issue("a", "device", days=1, now_s=0)
    return str(tmp_path / "tokens")


@pytest.fixture
def make(bundle):
    def cluster(host, **security):
        config = ClusterConfig(
            bundle=str(bundle.directory), listen=Listen(host=host), security=SecurityConfig(**security)
        )
        return LocalCluster(config, on_stage=lambda _: None)

    return cluster


@pytest.mark.parametrize(
    ("host", "security", "url", "serve_at"),
    [
        ("127.0.0.1", {}, "ws://127.0.0.1:8765", ("127.0.0.1", 8765)),
        ("127.0.0.1", {"tls_cert": "c", "tls_key": "k"}, "wss://127.0.0.1:8765", ("127.0.0.1", 40001)),
        ("::1", {}, "ws://[::1]:8765", ("::1", 8765)),
    ],
)
def test_on_loopback_serve_listens_itself_unless_tls_is_spoken(make, host, security, url, serve_at):
    cluster = make(host, **security)
    assert (cluster.url, cluster._serve_at) == (url, serve_at)


@pytest.mark.parametrize("security", [{"clear": True}, {"tls_cert": "c", "tls_key": "k"}])
def test_beyond_loopback_serve_never_listens_itself(make, tokens, security):
    assert make("0.0.0.0", tokens=tokens, **security)._serve_at == ("127.0.0.1", 40001)


def test_a_folder_of_tokens_without_a_key_stops_the_start(make, tmp_path):
    with pytest.raises(SettingError, match="no key for tokens"):
        make("127.0.0.1", tokens=str(tmp_path / "none"))


def test_the_cluster_asks_itself_with_a_short_operators_token_that_is_kept_nowhere(make, tokens):
    cluster = make("127.0.0.1", tokens=tokens)
    token = cluster._own_token()
    claims = TokenFolder(Path(tokens)).key().verify(token, now_s=0)
    assert claims.role == "operator"
    assert claims.expires_s - claims.issued_s == 3600
    assert claims.token_id not in (Path(tokens) / "issued.json").read_text()
    assert make("127.0.0.1")._own_token() is None


def test_a_file_may_say_it_all(tmp_path, tokens):
    (tmp_path / "cluster.yaml").write_text(
        "bundle: b\n"
        "security: {tokens: tokens, tls_cert: c.pem, tls_key: k.pem}\n"
        "limits: {frames_s: 60, connections: 4}\n"
    )
    config = load_config(tmp_path / "cluster.yaml")
    assert (config.security.tokens, config.security.tls_cert) == (tokens, str(tmp_path / "c.pem"))
    assert (config.limits.frames_s, config.limits.connections) == (60, 4)


@pytest.mark.parametrize("line", ["limits: {frames_s: 0}", "limits: {held_bytes: 5}", "security: {tokens: 5}"])
def test_a_limit_that_makes_no_sense_is_refused_with_its_name(tmp_path, line):
    (tmp_path / "cluster.yaml").write_text(f"bundle: b\n{line}\n")
    with pytest.raises(SettingError, match=r"cluster\.yaml\.(limits|security)\."):
        load_config(tmp_path / "cluster.yaml")
