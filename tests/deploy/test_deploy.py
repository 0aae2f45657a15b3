"""The files for Docker Compose, Kubernetes and KServe are valid, and agree with one another and with the exports."""

import compose_pydantic
import kubernetes_validate
import pydantic
import pytest
import yaml

import apps
from recur.serving.repository import BATCHING_PARAMETERS, MODELS_CONFIG, SERVER_FOLDER
from tests.checkout import ROOT

DEPLOY = ROOT / "deploy"
VERSIONS = ("1.30", "1.37")  # of Kubernetes: the oldest that is meant, and the newest that the package knows
RESOURCES = [
    resource
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for resource in yaml.safe_load_all(path.read_text())
]
DEPLOYMENT, POD = next((each, each["spec"]["template"]["spec"]) for each in RESOURCES if each["kind"] == "Deployment")
CONTAINER = POD["containers"][0]
COMPOSE = yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text())
SERVICE = COMPOSE["services"]["serving"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_kubernetes_takes_it(resource, version):
    kubernetes_validate.validate(resource, version, strict=True)


def test_what_kubernetes_does_not_take_is_found():
    wrong = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_docker_compose_takes_it():
    compose_pydantic.ComposeSpecification.model_validate(COMPOSE)
    wrong = {"services": {"serving": {**SERVICE, "imagee": "x"}}}
    with pytest.raises(pydantic.ValidationError):
        compose_pydantic.ComposeSpecification.model_validate(wrong)


def test_every_kind_is_there_and_means_the_same_pods():
    kinds = [each["kind"] for each in RESOURCES]
    for kind in ("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"):
        assert kind in kinds
    name, labels = DEPLOYMENT["metadata"]["name"], DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    for each in RESOURCES:
        if each["kind"] == "Service":
            assert each["spec"]["selector"].items() <= labels.items()
            assert {port["targetPort"] for port in each["spec"]["ports"]} <= {p["name"] for p in CONTAINER["ports"]}
        if each["kind"] == "PodDisruptionBudget":
            assert each["spec"]["selector"]["matchLabels"].items() <= labels.items()
        if each["kind"] == "HorizontalPodAutoscaler":
            assert each["spec"]["scaleTargetRef"]["name"] == name
            assert "replicas" not in DEPLOYMENT["spec"], "each apply would undo the autoscaler"
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_volumes_are_of_claims_and_maps_that_are_there():
    names = {(each["kind"], each["metadata"]["name"]) for each in RESOURCES}
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert ("PersistentVolumeClaim", volumes["models"]["persistentVolumeClaim"]["claimName"]) in names
    assert ("ConfigMap", volumes["monitoring"]["configMap"]["name"]) in names
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert mounts.keys() == volumes.keys()
    assert mounts["models"] == SERVER_FOLDER


def test_no_request_is_lost_in_an_update():
    strategy = DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]
    assert strategy["maxUnavailable"] == 0
    waited = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] > waited
    for probe in ("startupProbe", "readinessProbe"):
        path = CONTAINER[probe]["httpGet"]["path"]
        name, what = path.removeprefix("/v1/models/").split("/")
        assert name in apps.applications()
        assert what == "metadata"  # the status of what is not available is an answer too


def test_the_server_is_told_the_same_everywhere():
    assert CONTAINER["image"] == SERVICE["image"]
    assert CONTAINER["command"] == SERVICE["entrypoint"]
    flags = [dict(word.removeprefix("--").partition("=")[::2] for word in words) for words in (
        CONTAINER["args"], SERVICE["command"],
    )]  # fmt: skip
    assert flags[0].keys() == flags[1].keys()
    for each in flags:
        assert each["model_config_file"] == f"{SERVER_FOLDER}/{MODELS_CONFIG}"
        assert each["batching_parameters_file"] == f"{SERVER_FOLDER}/{BATCHING_PARAMETERS}"
        assert {"enable_batching", "enable_per_model_batching_parameters"} <= each.keys()
        assert "allow_version_labels_for_unavailable_models" in each
        assert int(each["grpc_max_threads"]) > int(each["rest_api_num_threads"]) > 64
    cpus = CONTAINER["resources"]["limits"]["cpu"]
    assert flags[0]["tensorflow_intra_op_parallelism"] == flags[0]["tensorflow_inter_op_parallelism"] == cpus
    assert f"../saved_models:{SERVER_FOLDER}:ro" in SERVICE["volumes"]


def test_metrics_are_where_the_annotation_says():
    config = next(each for each in RESOURCES if each["kind"] == "ConfigMap")["data"]["monitoring.config"]
    assert config == (DEPLOY / "monitoring.config").read_text()
    annotations = DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]
    assert f'path: "{annotations["prometheus.io/path"]}"' in config


def test_kserve_serves_an_application_from_the_same_claim():
    # KServe's own Python package would bring a server of its own along; what is checked are the names that it takes
    # (its models v1beta1_predictor_spec and v1beta1_model_spec, 0.21).
    found = yaml.safe_load((DEPLOY / "kserve" / "inference-service.yaml").read_text())
    assert (found["apiVersion"], found["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = found["spec"]["predictor"]
    known = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout", "model"}
    assert predictor.keys() <= known
    model = predictor["model"]
    known = {"modelFormat", "protocolVersion", "runtimeVersion", "storageUri", "args", "resources"}
    assert model.keys() <= known
    assert model["modelFormat"] == {"name": "tensorflow"}
    assert CONTAINER["image"].endswith(f":{model['runtimeVersion']}")
    claim, _, name = model["storageUri"].removeprefix("pvc://").partition("/")
    assert ("PersistentVolumeClaim", claim) in {(each["kind"], each["metadata"]["name"]) for each in RESOURCES}
    assert name in apps.applications()
    kubernetes_validate.validate(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "as-a-pod"},
            "spec": {"containers": [{"name": "a", "args": model["args"], "resources": model["resources"]}]},
        },
        VERSIONS[-1],
        strict=True,
    )
