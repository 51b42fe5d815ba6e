"""Holds the manifests to what docs/kubernetes.md promises. Called by deploy/check.sh, in deploy/.

Goal: what is added to a workload is the sidecar as it was reviewed, and nothing of the app changes.
Method: the committed renders (deploy/check.sh has compared them with fresh ones) are validated against Kubernetes' own
schemas, strictly, and compared with the app's manifests they were made from.
"""

import glob
import json
import os
import sys

import kubernetes_validate
import yaml

# The oldest version whose native sidecars are on by default (SidecarContainers, beta in 1.29), and the newest known.
VERSIONS = ["1.29", "1.37"]

# From a pod template to its place in each kind.
TEMPLATES = {
    "Pod": [],
    "Deployment": ["spec", "template"],
    "StatefulSet": ["spec", "template"],
    "DaemonSet": ["spec", "template"],
    "Job": ["spec", "template"],
    "CronJob": ["spec", "jobTemplate", "spec", "template"],
}

CONFINEMENT = {
    "runAsUser": 1337,
    "runAsGroup": 1337,
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
LOCALHOST = {"type": "Localhost", "localhostProfile": "profiles/sidecar-proxy.json"}
OUR_VOLUMES = {"sidecar-proxy-config", "sidecar-proxy-identity"}
OUR_CONTAINERS = {"sidecar-proxy", "sidecar-proxy-init"}
OUR_ANNOTATIONS = {"prometheus.io/scrape": "true", "prometheus.io/port": "15020", "prometheus.io/path": "/metrics"}

failures = []


def expect(condition, what):
    if not condition:
        failures.append(what)


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def load(path):
    return [document for document in yaml.safe_load_all(text_of(path)) if document]


def template(document):
    """The pod template of a workload; the pod itself has the same shape. None for any other kind."""
    path = TEMPLATES.get(document["kind"])
    if path is None:
        return None
    for key in path:
        document = document[key]
    return document


def named(items):
    return {item["name"]: item for item in items or []}


def validate(path):
    for document in load(path):
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                place = ".".join(str(part) for part in error.path)
                failures.append(f"{path}: {document['kind']}: {version}: {place}: {error.message}")


def check_sidecar(path, pod, native, seccomp, redirects):
    """What the sidecar's containers may do, and when they start."""
    spec = pod["spec"]
    starting, running = named(spec.get("initContainers")), named(spec["containers"])
    sidecar = (starting if native else running).get("sidecar-proxy", {})
    context = dict(sidecar.get("securityContext", {}))
    expect(context.pop("seccompProfile", None) == seccomp, f"{path}: the sidecar's seccompProfile is not {seccomp}")
    expect(context == CONFINEMENT, f"{path}: the sidecar's securityContext is {context}")
    expect((sidecar.get("restartPolicy") == "Always") == native, f"{path}: the sidecar's restartPolicy")
    for probe, place in [
        ("startupProbe", "/healthz/ready"), ("readinessProbe", "/healthz/ready"), ("livenessProbe", "/healthz/live")
    ]:
        get = sidecar.get(probe, {}).get("httpGet", {})
        expect(get == {"path": place, "port": "sidecar-metrics"}, f"{path}: the sidecar's {probe}")
    expect({"name": "sidecar-metrics", "containerPort": 15020} in sidecar.get("ports", []), f"{path}: the metrics port")
    for mount in sidecar.get("volumeMounts", []):
        expect(mount["name"] not in OUR_VOLUMES or mount.get("readOnly"), f"{path}: {mount['name']} is writable")

    order = list(starting) + list(running)
    init = starting.get("sidecar-proxy-init")
    expect((init is not None) == redirects, f"{path}: redirection is {'missing' if redirects else 'there'}")
    if init:
        context = init["securityContext"]
        expect(context["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}, f"{path}: init's capabilities")
        expect(not context["allowPrivilegeEscalation"], f"{path}: init may gain privileges")
        expect(context["seccompProfile"] == {"type": "RuntimeDefault"}, f"{path}: init's seccompProfile")
        # Rules before whoever they are for; the sidecar before whoever is redirected to it.
        expect(order[:2] == ["sidecar-proxy-init", "sidecar-proxy"], f"{path}: the order is {order}")
        expect(sidecar.get("image") == init["image"], f"{path}: two versions of the image")
    else:
        expect(order[0] == "sidecar-proxy", f"{path}: the order is {order}")
    for name, container in {**starting, **running}.items():
        added = container.get("securityContext", {}).get("capabilities", {}).get("add", [])
        expect(name == "sidecar-proxy-init" or not added, f"{path}: {name} has the capabilities {added}")
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        expect(name in OUR_CONTAINERS or not mounts & OUR_VOLUMES, f"{path}: {name} can read the sidecar's volumes")


def is_annotated(pod):
    return OUR_ANNOTATIONS.items() <= pod["metadata"].get("annotations", {}).items()


def is_asked(document, annotation):
    """Whether a workload lets the component do something; it does unless it says otherwise."""
    return document["metadata"].get("annotations", {}).get(f"sidecar-proxy/{annotation}") != "false"


def without_sidecar(pod, annotated):
    """A pod template as it was before the component, in one canonical text."""
    pod = json.loads(json.dumps(pod))
    spec = pod["spec"]
    for key, ours in [("initContainers", OUR_CONTAINERS), ("volumes", OUR_VOLUMES)]:
        spec[key] = [item for item in spec.get(key, []) if item["name"] not in ours]
        if not spec[key]:
            del spec[key]
    annotations = pod["metadata"].get("annotations", {})
    for key in OUR_ANNOTATIONS if annotated else ():
        annotations.pop(key, None)
    if not annotations:
        pod["metadata"].pop("annotations", None)
    return json.dumps(pod, sort_keys=True)


def without_hashes(text, renders):
    """Generated ConfigMaps get a hash behind their names, and whoever refers to them does, too."""
    for document in renders:
        name = document["metadata"]["name"]
        if document["kind"] == "ConfigMap":
            text = text.replace(json.dumps(name), json.dumps(name.rsplit("-", 1)[0]))
    return text


def check_example(directory, sources):
    """- sources: the manifests of the app that the example was made from."""
    path = os.path.join(directory, "expected.yaml")
    renders = load(path)
    components = text_of(os.path.join(directory, "kustomization.yaml"))
    redirects = "without-redirection" not in components
    seccomp = {"type": "RuntimeDefault"} if "seccomp-runtime-default" in components else LOCALHOST
    validate(path)
    workloads = [document for source in sources for document in load(source) if template(document)]
    expect(workloads, f"{directory}: no workload")
    for before in workloads:
        after = next(
            (d for d in renders if d["kind"] == before["kind"] and d["metadata"]["name"] == before["metadata"]["name"]),
            None,
        )
        if after is None:
            failures.append(f"{path}: {before['kind']} {before['metadata']['name']} is gone")
            continue
        if not is_asked(before, "inject"):
            expect(template(after) == template(before), f"{path}: {before['metadata']['name']} asked to be left alone")
            continue
        check_sidecar(path, template(after), True, seccomp, redirects)
        annotated = is_asked(before, "annotate")
        expect(is_annotated(template(after)) == annotated, f"{path}: the annotations for Prometheus")
        expect(not annotated or not set(OUR_ANNOTATIONS) & set(template(before)["metadata"].get("annotations", {})),
               f"{path}: {before['metadata']['name']} has annotations for Prometheus that the component replaces")
        rest = without_hashes(without_sidecar(template(after), annotated), renders)
        expect(rest == without_sidecar(template(before), annotated), f"{path}: the app's own pod template has changed")
        # Beside the template nothing changes but the namespace.
        for document in (before, after):
            template(document).clear()
            document["metadata"].pop("namespace", None)
        expect(before == after, f"{path}: {before['kind']} {before['metadata']['name']} has changed")
    configurations = [d for d in renders if d["kind"] == "ConfigMap" and "sidecar.yaml" in d["data"]]
    expect(len(configurations) == 1, f"{path}: {len(configurations)} configurations")
    text = text_of(os.path.join(directory, "sidecar.yaml"))
    expect(all(d["data"]["sidecar.yaml"] == text for d in configurations), f"{path}: sidecar.yaml is not the file's")


def check_forms():
    """What is said in several places is the same: both forms, and what the component adds."""
    specs = {}
    for name in ("native", "plain"):
        pod = next(document for document in load(f"pod/{name}.yaml") if document["kind"] == "Pod")
        specs[name] = {**named(pod["spec"]["initContainers"]), **named(pod["spec"]["containers"])}
        specs[name]["volumes"] = pod["spec"]["volumes"]
    added = template(load("kustomize/component/workload.yaml")[0])["spec"]
    component = {**named(added["initContainers"]), "volumes": added["volumes"]}
    for key, value in component.items():
        expect(specs["native"][key] == value, f"pod/native.yaml: {key} is not what the component adds")
    # In the plain form it is an ordinary container, and a hook holds the next one up until it is ready.
    sidecar = dict(specs["plain"].pop("sidecar-proxy"))
    expect(sidecar.pop("lifecycle", None), "pod/plain.yaml: nothing waits for the sidecar")
    sidecar["restartPolicy"] = "Always"
    expect(sidecar == specs["native"].pop("sidecar-proxy"), "pod/: the sidecars of the two forms differ")
    expect(specs["plain"] == specs["native"], "pod/: native.yaml and plain.yaml differ in more than their form")


def main():
    check_forms()
    for directory in sorted(glob.glob("examples/*/") + glob.glob("examples/namespaces/*/")):
        if os.path.exists(os.path.join(directory, "sidecar.yaml")):
            base = os.path.join(directory, "../base")
            own = os.path.join(directory, "app.yaml")
            check_example(directory, [own] if os.path.exists(own) else glob.glob(os.path.join(base, "app.yaml")))
    for name, native in [("native", True), ("plain", False)]:
        path = f"pod/{name}.yaml"
        validate(path)
        pod = next(document for document in load(path) if document["kind"] == "Pod")
        check_sidecar(path, pod, native, LOCALHOST, True)
        expect(is_annotated(pod), f"{path}: the annotations for Prometheus")
    validate("seccomp/installer.yaml")
    pairs = [(f"{component}workload.yaml", f"{component}cronjob.yaml") for component in glob.glob("kustomize/*/")]
    pairs.append(("kustomize/component/annotations.yaml", "kustomize/component/annotations-cronjob.yaml"))
    for workload, cronjob in sorted(pairs):
        expect(template(load(workload)[0]) == template(load(cronjob)[0]), f"{workload} and {cronjob} differ")
    for failure in failures:
        print(f"check: {failure}", file=sys.stderr)
    if failures:
        sys.exit(1)
    print("manifests: valid, the apps unchanged, the sidecars confined")


if __name__ == "__main__":
    main()
