"""A pod of a rendered manifest as processes of this machine: namespaces, volumes, probes and an end in time."""

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import psutil
from pod_container import Surroundings, command_of, environment_of, expanded, security_of
from pod_network import WITH_US, PodNetwork
from pod_root import Mount, Root
from pod_share import share_of_processor

from cluster.kubernetes.plain import Plain, list_at, map_at
from cluster.kubernetes.pod_template import PodTemplate

INIT_TIMEOUT_S: Final = 120.0
MakeSurroundings = Callable[[str], Surroundings]
"""Makes the surroundings of a pod that has this address."""
UNSHARE: Final = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc")


class Pod:
    """One pod; a context, at whose end nothing of it is left."""

    def __init__(
        self,
        template: PodTemplate,
        *,
        network: PodNetwork,
        folder: Path,
        images: Mapping[str, Mapping[str, Path]],
        hosts: Mapping[str, str],
        around: MakeSurroundings,
    ) -> None:
        """``images`` says what our images hold beside programs: for each, folders by their paths.

        ``hosts`` are the names that the cluster's DNS would know, with their addresses.
        """
        self._template, self._network, self._folder = template, network, folder
        self._images, self._make_around = images, around
        self._hosts = dict(hosts)
        self._ends = contextlib.ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.address = ""
        self._holder = 0
        self._joins: tuple[str, ...] = ()

    def __enter__(self) -> "Pod":
        self._folder.mkdir(parents=True)
        with contextlib.ExitStack() as ends:
            self._holder, self.address = ends.enter_context(self._network.namespace())
            share = share_of_processor(f"{self._network.name}-{self._folder.name}", self._template.plain)
            self._joins = ends.enter_context(share)
            ends.callback(self._kill)
            self._around = self._make_around(self.address)
            self.know(self._hosts)
            self._make_volumes()
            for container in list_at(self._template.plain, "spec", "initContainers"):
                self._start(container)
                code = self._processes[container["name"]].wait(INIT_TIMEOUT_S)
                assert code == 0, f"{container['name']} ended with code {code}: {self.log(container['name'])}"
            for container in list_at(self._template.plain, "spec", "containers"):
                self._start(container)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    @property
    def name(self) -> str:
        """Its name in the cluster."""
        return self._around.pod_name

    @property
    def node_name(self) -> str:
        """The name of the node that it is on."""
        return self._around.node_name

    @property
    def labels(self) -> Mapping[str, str | None]:
        """Its labels."""
        return self._template.labels

    def port(self, name: str) -> int:
        """Give the container port of a name."""
        return self._template.ports[name]

    @property
    def grace_s(self) -> float:
        """How long it may take to end."""
        return float(map_at(self._template.plain, "spec").get("terminationGracePeriodSeconds", 30))

    def know(self, hosts: Mapping[str, str]) -> None:
        """Let its names lead to these addresses from now on, as the cluster's Services would."""
        names = {"localhost": "127.0.0.1", self._around.pod_name: self.address, **hosts}
        text = "".join(f"{address} {name}\n" for name, address in names.items())
        (self._folder / "hosts").write_text(text)

    def log(self, name: str) -> str:
        """Give what a container has said."""
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def volume(self, name: str) -> Path:
        """Give the folder of a volume, on this machine."""
        return self._folder / "volumes" / name

    def passes(self, probe: str) -> bool:
        """Ask a probe of every container that has it, once; say so if one has ended."""
        for container in list_at(self._template.plain, "spec", "containers"):
            process = self._processes[container["name"]]
            assert process.poll() is None, f"{container['name']} has ended: {self.log(container['name'])[-3000:]}"
        asked = [each[probe] for each in list_at(self._template.plain, "spec", "containers") if probe in each]
        assert asked, f"no container has a {probe}"
        return all(self._answers(each) for each in asked)

    def wait_for(self, probe: str, *, timeout_s: float) -> None:
        """Ask a probe until it passes."""
        until = time.monotonic() + timeout_s
        while not self.passes(probe):
            assert time.monotonic() < until, f"{self._around.pod_name}: {probe} does not pass within {timeout_s:.0f} s"
            time.sleep(0.5)

    def processes(self, name: str) -> list[psutil.Process]:
        """Give the processes of a container."""
        first = psutil.Process(self._first_of(name))
        return [first, *first.children(recursive=True)]

    def run(self, name: str, *words: str, timeout_s: float = 60.0) -> str:
        """Run a command in a container, as ``kubectl exec`` does; give what it says."""
        container = self._container(name)
        inside = ["nsenter", f"--target={self._first_of(name)}", "--net", "--pid", "--mount", "--root", "--wd"]
        done = subprocess.run(
            [*self._joins, *inside, *self._as_user(container), *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False,
            env=self._environment(container),
        )  # fmt: skip
        assert done.returncode == 0, f"`{' '.join(words)}`: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def stop(self) -> float:
        """End it as a kubelet does: hooks, SIGTERM, and SIGKILL for what is left; give the seconds that it took."""
        begun_s = time.monotonic()
        for container in list_at(self._template.plain, "spec", "containers"):
            if self._processes[container["name"]].poll() is not None:
                continue
            hook = list_at(container, "lifecycle", "preStop", "exec", "command")
            if hook:
                self.run(container["name"], *hook, timeout_s=self.grace_s)
            os.kill(self._first_of(container["name"]), signal.SIGTERM)
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(self.grace_s - (time.monotonic() - begun_s), 0.0))
        return time.monotonic() - begun_s

    def _container(self, name: str) -> Plain:
        return next(each for each in list_at(self._template.plain, "spec", "containers") if each["name"] == name)

    def _first_of(self, name: str) -> int:
        (first,) = psutil.Process(self._processes[name].pid).children()
        return first.pid

    def _answers(self, probe: Plain) -> bool:
        asked = probe["httpGet"]
        port = asked["port"]
        number = self._template.ports[port] if isinstance(port, str) else port
        connection = http.client.HTTPConnection(self.address, number, timeout=probe.get("timeoutSeconds", 1))
        try:
            connection.request("GET", asked.get("path", "/"))
            return 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _start(self, container: Plain) -> None:
        environment = self._environment(container)
        command = command_of(container, environment)
        root = self._folder / f"{container['name']}.root"
        root.mkdir()
        script = self._root(container).script(root, command, directory=container.get("workingDir", "/"))
        with (self._folder / f"{container['name']}.log").open("wb") as log:
            self._processes[container["name"]] = subprocess.Popen(
                [*WITH_US, *self._joins, "nsenter", f"--target={self._holder}", "--net", *UNSHARE, "sh", "-c", script],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment,
            )  # fmt: skip

    def _environment(self, container: Plain) -> dict[str, str]:
        return {"HOSTNAME": self._around.pod_name, **environment_of(container, self._around)}

    def _as_user(self, container: Plain) -> list[str]:
        security = security_of(self._template.plain, container)
        return ["setpriv", f"--reuid={security['runAsUser']}", f"--regid={security['runAsGroup']}", "--clear-groups"]

    def _root(self, container: Plain) -> Root:
        security = security_of(self._template.plain, container)
        image = container["image"].rsplit("/", 1)[-1].split(":")[0]
        held = [Mount(folder=folder, at=at, read_only=True) for at, folder in self._images.get(image, {}).items()]
        mounted = [
            Mount(folder=self._mounted(container, mount), at=mount["mountPath"], read_only=mount.get("readOnly", False))
            for mount in list_at(container, "volumeMounts")
        ]
        return Root(
            mounts=(*held, *mounted),
            hosts=self._folder / "hosts",
            user=security["runAsUser"],
            group=security["runAsGroup"],
            read_only=security.get("readOnlyRootFilesystem", False),
            drops_all="ALL" in list_at(security, "capabilities", "drop"),
        )

    def _mounted(self, container: Plain, mount: Plain) -> Path:
        path = expanded(mount.get("subPathExpr", ""), self._environment(container))
        return self.volume(mount["name"]) / path

    def _make_volumes(self) -> None:
        group = security_of(self._template.plain, {})["fsGroup"]
        for volume in list_at(self._template.plain, "spec", "volumes"):
            folder = self.volume(volume["name"])
            folder.mkdir(parents=True)
            if "emptyDir" in volume:
                shutil.chown(folder, group=group)
                folder.chmod(0o2777)
                continue
            if "secret" in volume:
                data, mode = dict(self._around.secret(volume["secret"]["secretName"])), volume["secret"]
            else:
                texts = self._around.config_map(volume["configMap"]["name"])
                data, mode = {key: text.encode() for key, text in texts.items()}, volume["configMap"]
            for key, content in data.items():
                path = folder / key
                path.write_bytes(content)
                shutil.chown(path, group=group)
                path.chmod(mode.get("defaultMode", 0o644))

    def _kill(self) -> None:
        for process in self._processes.values():
            process.kill()  # with it goes the first process of its namespace, and with that go all the others
            process.wait()
