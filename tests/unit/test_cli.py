"""The command line, without starting anything."""

import fcntl
import json
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result

import stagedoor
from stagedoor.cli import main
from stagedoor.local.endpoints import Endpoints, read_endpoints

Run = Callable[..., Result]
COMMANDS = (
    *("up", "gateway", "controller", "mlflow", "token", "status", "promote", "pause", "resume", "abort", "rollback", "traffic"),
    *("approve", "history", "why", "experiment", "drill", "ledger", "config"),
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    for variable in ("STAGEDOOR_TOKEN_SECRET", "STAGEDOOR_TOKEN", "STAGEDOOR_MODELS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("STAGEDOOR_STATE_DIR", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_help_names_every_command_and_the_exit_codes(run: Run) -> None:
    for flag in ("-h", "--help"):
        result = run(flag)
        assert result.exit_code == 0
        assert all(command in result.output for command in COMMANDS)
        assert "2 wrong" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    result = run(command, "-h")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {command}")


def test_a_command_is_started_without_the_others() -> None:
    code = (
        "import sys; sys.path[:] = sys.argv[1].split('\\n')\n"
        "from stagedoor.cli import main; main(['gateway', '-h'], standalone_mode=False)\n"
        "print(sorted({'stagedoor.cli.token', 'stagedoor.cli.demo', 'jwt', 'numpy', 'mlflow'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "\n".join(sys.path)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert told.splitlines()[-1] == "[]"


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").output.strip() == f"stagedoor, version {stagedoor.__version__}"


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("token",), ("token", "--subject", "x", "--role", "king"), ("up", "--workers", "0")]
)
def test_wrong_usage_ends_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_token_prints_the_token_alone(run: Run) -> None:
    result = run("token", "--subject", "ci", "--role", "promoter", "--role", "predictor", "--model", "fraud*", "--hours", "2")
    assert result.exit_code == 0
    (text,) = result.stdout.splitlines()
    claims = jwt.decode(text, options={"verify_signature": False})
    assert (claims["sub"], claims["roles"], claims["models"]) == ("ci", ["predictor", "promoter"], ["fraud*"])
    assert claims["exp"] - claims["iat"] == 2 * 3600


def test_tokens_of_one_state_folder_have_one_secret(run: Run, tmp_path: Path) -> None:
    first, second = (json.loads(run("token", "--subject", "x", "--json").stdout)["token"] for _ in range(2))
    secret = (tmp_path / "token.secret").read_text().strip()
    assert stat.S_IMODE((tmp_path / "token.secret").stat().st_mode) == 0o600
    assert secret not in first + second


def test_a_weak_secret_is_one_line_of_reason_and_exit_code_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEDOOR_TOKEN_SECRET", "short")
    result = run("token", "--subject", "x")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "STAGEDOOR_TOKEN_SECRET" in result.stderr
    assert "short" not in result.stderr.replace("shorter", "").replace("too short", "")


def test_a_bad_setting_is_named_without_its_value(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEDOOR_POLL_SECONDS", "secret-value")
    result = run("config")
    assert result.exit_code == 1
    assert "STAGEDOOR_POLL_SECONDS" in result.stderr
    assert "secret-value" not in result.output


def test_config_says_where_values_come_from_and_masks_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEDOOR_TOKEN_SECRET", "s" * 40)
    monkeypatch.setenv("STAGEDOOR_MODELS", "fraud*,risk")
    result = run("config", "--json")
    rows = {row["variable"]: row for row in json.loads(result.stdout)}
    assert rows["STAGEDOOR_MODELS"] | {"description": ""} == {
        "variable": "STAGEDOOR_MODELS",
        "value": "fraud*,risk",
        "source": "environment",
        "default": "*",
        "description": "",
    }
    assert rows["STAGEDOOR_TOKEN_SECRET"]["value"] == "********"
    assert rows["STAGEDOOR_POLL_SECONDS"]["source"] == "default"
    assert "s" * 40 not in result.output
    assert "s" * 40 not in run("config").output


def test_status_without_a_running_up_says_what_to_do(run: Run) -> None:
    result = run("status")
    assert result.exit_code == 1
    assert "--state" in result.stderr


def test_status_of_a_gateway_that_does_not_answer_says_what_to_do(run: Run) -> None:
    result = run("status", "--gateway", "http://127.0.0.1:9", "--token", "t")
    assert result.exit_code == 1
    assert "stagedoor up" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_token_of_up_is_never_sent_to_another_gateway(run: Run, tmp_path: Path) -> None:
    Endpoints("http://127.0.0.1:1", "http://127.0.0.1:2", None, {"promoter": "p"}).write(tmp_path / "endpoints.json")
    result = run("status", "--gateway", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "--token" in result.stderr


def test_a_taken_port_is_said_before_anything_starts(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        result = run("up", "--gateway-port", port, "--mlflow-port", "0")
    assert result.exit_code == 1
    assert port in result.stderr
    assert "--gateway-port" in result.stderr
    assert not (tmp_path / "logs").exists()
    assert not (tmp_path / "endpoints.json").exists()


def test_a_second_up_in_the_same_folder_is_refused(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run("up", "--gateway-port", "0", "--mlflow-port", "0")
    assert result.exit_code == 1
    assert "--state" in result.stderr


def test_endpoints_are_written_for_their_owner_alone_and_read_back(tmp_path: Path) -> None:
    written = Endpoints("http://m", "http://g", None, {"admin": "a", "promoter": "p", "predictor": "q"})
    path = tmp_path / "deep" / "endpoints.json"
    written.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "mlflow": "http://m",
        "gateway": "http://g",
        "controller": None,
        "tokens": {"admin": "a", "promoter": "p", "predictor": "q"},
    }
    assert read_endpoints(path) == written
    assert [entry.name for entry in path.parent.iterdir()] == ["endpoints.json"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"mlflow": 1}', '{"mlflow":"m","gateway":"g","controller":null,"tokens":[]}']
)
def test_a_foreign_endpoints_file_is_an_error_of_one_line(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "endpoints.json").write_text(content)
    result = run("status")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: endpoints.json")


def test_endpoints_do_not_print_their_tokens() -> None:
    assert "secret" not in repr(Endpoints("m", "g", None, {"admin": "secret"}))


def test_help_is_quick_since_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; import stagedoor.cli; "
        "bad = {'mlflow', 'numpy', 'pandas', 'sklearn', 'serving', 'registry_hooks', 'flask'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
