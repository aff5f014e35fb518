"""What import contracts cannot say."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOMAIN = sorted((ROOT / "platform" / "stagedoor" / "domain").glob("*.py"))


def test_the_folder_platform_never_becomes_a_package() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()


@pytest.mark.parametrize("file", DOMAIN, ids=lambda file: file.stem)
def test_the_domain_imports_the_standard_library_alone(file: Path) -> None:
    roots = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            roots.add((node.module or "").partition(".")[0])
    assert roots <= sys.stdlib_module_names | {"stagedoor"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["serving.wiring", "serving.resolver.wiring", "serving.loading.loaders", "serving.gunicorn_conf"]
)
def test_a_gateway_that_serves_onnx_alone_never_imports_what_is_heavy(module: str, tmp_path: Path) -> None:
    code = f"import sys, {module}; print(*({{'mlflow', 'pandas', 'sklearn', 'pyarrow', 'scipy'}} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"STAGEDOOR_STATE_DIR": str(tmp_path)},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""
