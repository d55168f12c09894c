"""Set-up: bring this machine to where a make target can run, and do nothing when it already is.

Enters: names of needs (`setup.py python node? adapter? chromium?`). Leaves: a virtual environment in `.venv`, npm
packages in `node_modules`, a Vulkan adapter and a Chromium on the system; or exit code 1 and one line that says what to
install. A need with a question mark may stay open: then a line says why, and what goes without it (where CI is set it
may not: nothing is left out there).
Standard library only, any Python that can parse it: it runs before anything is installed. Each need is a row of
`NEEDS`; what was done is stamped with a hash of what it was done from (pyproject.toml, package-lock.json, the drivers
present), so a second run only compares hashes. The whole output of pip, npm and apt goes to build/setup.log.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
NODE_MODULES = ROOT / "node_modules"
LOG = ROOT / "build" / "setup.log"

MINIMUM_PYTHON = (3, 11)
EXTRAS = {
    "python": "native,compiler,tools,test",
    "frameworks": "native,compiler,tools,test,frameworks",
    "lint": "dev",
}
VULKAN_PACKAGES = ("libvulkan1", "mesa-vulkan-drivers")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")  # those that browser_session.py finds
DRIVER_FOLDERS = ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d")
DRIVER_VARIABLES = ("VK_ICD_FILENAMES", "VK_DRIVER_FILES", "VK_ADD_DRIVER_FILES")

LIST_ADAPTERS = """
import wgpu
found = [a.info for a in wgpu.gpu.enumerate_adapters_sync() if a.info["backend_type"] in ("Vulkan", "Metal", "D3D12")]
print(", ".join(sorted({info["device"] or info["description"] for info in found})))
"""


class SetupError(Exception):
    """Something that set-up cannot do by itself; the text says what the user can do."""


# --- What was done, and from what -----------------------------------------------------------------------------------


def digest(*parts: object) -> str:
    """A hash of files (given as paths) and of anything else (by its text)."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part.read_bytes() if isinstance(part, Path) else str(part).encode())
        hasher.update(b"\0")
    return hasher.hexdigest()


def read_stamps(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / "webree-setup.json").read_text()))
    except (OSError, ValueError):
        return {}


def write_stamp(folder: Path, name: str, key: str) -> None:
    stamps = {**read_stamps(folder), name: key}
    (folder / "webree-setup.json").write_text(json.dumps(stamps, indent=1) + "\n")


# --- Running other programs -----------------------------------------------------------------------------------------


def say(text: str) -> None:
    print(text, flush=True)


def shown(line: str) -> str | None:
    """The part of a line of pip, npm or apt that is worth showing as progress, or None."""
    words = line.split()
    if not words:
        return None
    if words[0] == "Downloading" and len(words) > 2:  # pip: "Downloading <address or file> (12.3 MB)"
        return f"downloading {words[1].rsplit('/', 1)[-1]} {' '.join(words[2:])}"
    if line.startswith("Installing collected packages"):
        return f"installing {line.count(',') + 1} packages"
    if words[0] == "added" or line.startswith(("Setting up chromium", "Setting up mesa-vulkan-drivers")):
        return line.strip()
    return None


def run(command: list[str], failed: str, environment: dict[str, str] | None = None) -> None:
    """Run a program, show its progress, log all of it; raise `SetupError` with `failed` and its last lines."""
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("a") as log:
        log.write(f"\n$ {' '.join(command)}\n")
        lines = []
        with subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {})},
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                lines.append(line.rstrip())
                progress = shown(line)
                if progress:
                    say(f"      {progress}")
    if process.returncode != 0:
        tail = "\n".join(f"      | {line}" for line in lines[-15:])
        raise SetupError(f"{failed}\n{tail}\n      (all of it: {LOG.relative_to(ROOT)})")


def root_prefix() -> list[str] | None:
    """What to put before a command to run it as root without a question; None if there is no way."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0:
        return [sudo, "-n"]
    return None


def apt_install(packages: tuple[str, ...], why: str) -> None:
    """Install Debian packages, or raise `SetupError` that names them."""
    by_hand = f"{why}. Install it: apt-get install {' '.join(packages)} (or your system's like)"
    prefix = root_prefix()
    apt = shutil.which("apt-get")
    if apt is None or prefix is None:
        raise SetupError(f"{by_hand}; set-up does that itself as root, or with sudo that asks no password")
    say(f"      {why}: installing {', '.join(packages)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    lock = ["-o", "DPkg::Lock::Timeout=300"]
    run([*prefix, apt, *lock, "update"], f"apt-get update failed. {by_hand}", quiet)
    install = [*prefix, apt, *lock, "install", "-y", "--no-install-recommends", *packages]
    run(install, f"apt-get failed. {by_hand}", quiet)


# --- The needs: each has a key of what it depends on, and a way to fulfil it ------------------------------------------


def python_key(need: str) -> str:
    if not VENV_PYTHON.exists():
        return ""
    return digest(ROOT / "pyproject.toml", EXTRAS[need], os.path.realpath(VENV_PYTHON))


def install_python(need: str) -> None:
    if sys.version_info[:2] < MINIMUM_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        raise SetupError(
            f"Python 3.11 or newer is needed, and {sys.executable} is {found}; try: make PYTHON=python3.12"
        )
    if not VENV_PYTHON.exists():
        try:
            import ensurepip  # noqa: F401 - Debian ships it apart from Python itself
        except ImportError:
            apt_install((f"python3.{sys.version_info[1]}-venv",), "Python's venv module is not complete")
        run([sys.executable, "-m", "venv", "--clear", str(VENV)], "a virtual environment could not be made in .venv")
    pip = [str(VENV_PYTHON), "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check"]
    run([*pip, "--editable", f".[{EXTRAS[need]}]"], "pip could not install the Python packages")


def node_key(need: str) -> str:
    if not NODE_MODULES.is_dir():
        return ""
    return digest(ROOT / "package.json", ROOT / "package-lock.json", need)


def install_node(need: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        apt_install(("nodejs", "npm"), "npm, which brings Pyodide, was not found")
        npm = shutil.which("npm") or "npm"
    leave_out = [] if need == "peers" else ["--omit=dev"]
    command = [npm, "ci", *leave_out, "--no-audit", "--no-fund", "--no-progress"]
    run(command, "npm could not install the packages of package-lock.json")


def adapter_key(need: str) -> str:
    if not VENV_PYTHON.exists():
        return ""
    drivers = [sorted(Path(folder).glob("*.json")) for folder in DRIVER_FOLDERS]
    return digest(drivers, *(os.environ.get(name, "") for name in DRIVER_VARIABLES))


def adapters() -> str:
    command = [str(VENV_PYTHON), "-c", LIST_ADAPTERS]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if found.returncode != 0 and "No adapter" not in found.stderr:
        raise SetupError(f"wgpu-py could not list the adapters:\n{found.stderr}")
    return found.stdout.strip()


def install_adapter(need: str) -> None:
    names = adapters()
    if not names:
        apt_install(VULKAN_PACKAGES, "No Vulkan adapter was found")
        names = adapters()
    if not names:
        chosen = [f"{name}={os.environ[name]}" for name in DRIVER_VARIABLES if os.environ.get(name)]
        why = f"{', '.join(chosen)} may be why" if chosen else "`vulkaninfo` (package vulkan-tools) may tell why"
        raise SetupError(f"No Vulkan adapter was found, not even the software one of mesa-vulkan-drivers; {why}")
    say(f"      adapters: {names}")


def chromium() -> str | None:
    return os.environ.get("WEBREE_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def chromium_key(need: str) -> str:
    return digest(chromium()) if chromium() else ""


def install_chromium(need: str) -> None:
    if chromium() is None:
        apt_install(("chromium",), "No Chromium was found")
    if chromium() is None:
        raise SetupError(f"No Chromium was found (looked for {', '.join(CHROMIUM_NAMES)}); or set WEBREE_CHROMIUM=PATH")


WITHOUT = {
    "adapter": "nothing runs on WebGPU natively; the CPU device needs no driver",
    "chromium": "nothing runs in a browser",
    "node": "nothing runs in a browser",
    "peers": "nothing runs in a browser",
}
"""What goes without a need that may stay open."""

# need: (what is said, folder of the stamp, key, action). In this order, as later ones use earlier ones.
NEEDS = {
    "python": ("Python packages into .venv (about 1 GB on disk)", VENV, python_key, install_python),
    "frameworks": (
        "Python packages into .venv, with PyTorch, JAX and LiteRT for tests (about 2 GB on disk)",
        VENV,
        python_key,
        install_python,
    ),
    "lint": ("ruff and mypy into .venv", VENV, python_key, install_python),
    "adapter": ("a Vulkan adapter", VENV, adapter_key, install_adapter),
    "chromium": ("Chromium", None, chromium_key, install_chromium),
    "node": ("Pyodide by npm", NODE_MODULES, node_key, install_node),
    "peers": ("Pyodide and ONNX Runtime Web by npm", NODE_MODULES, node_key, install_node),
}

INCLUDED_IN = {"python": "frameworks", "node": "peers"}
"""A need, and one that has all of it and more."""


def fulfilled(need: str) -> bool:
    _, folder, key, _ = NEEDS[need]
    value = key(need)
    if folder is None or not value:
        return bool(value)
    stamps = read_stamps(folder)
    wider = INCLUDED_IN.get(need)
    return stamps.get(need) == value or (wider is not None and stamps.get(wider) == key(wider))


def main(names: list[str]) -> int:
    optional = {name.rstrip("?") for name in names if name.endswith("?")} if not os.environ.get("CI") else set()
    names = [name.rstrip("?") for name in names]
    unknown = [name for name in names if name not in NEEDS]
    if unknown or not names:
        say(f"usage: setup.py NEED[?]...   with needs: {', '.join(NEEDS)}")
        return 2
    todo = [need for need in NEEDS if need in names and not fulfilled(need)]
    for index, need in enumerate(todo, 1):
        text, folder, key, action = NEEDS[need]
        say(f"setup {index}/{len(todo)}: {text}")
        start = time.monotonic()
        try:
            action(need)
        except SetupError as error:
            if need in optional:
                say(f"      left out: {WITHOUT[need]}. {error}")
                continue
            print(f"setup: {error}", file=sys.stderr, flush=True)
            return 1
        if folder is not None:
            write_stamp(folder, need, key(need))
        say(f"      done in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
