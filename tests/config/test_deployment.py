import pytest
import yaml

from hoiray.config.deployment import Deployment, check_deployment, mib, to_yaml
from hoiray.errors import ConfigError


def deployment(**values: object) -> Deployment:
    return Deployment(**{"name": "hoi", "image": "i:1", "ray_version": "2.60.0", **values})  # type: ignore[arg-type]


def test_a_sound_deployment_passes() -> None:
    check_deployment(deployment(environment={"AWS_ENDPOINT_URL": "http://s3"}, secrets=("s3-keys", "a.b")))


@pytest.mark.parametrize("name", ["", "Hoi", "1hoi", "hoi-", "hoi_1", "h" * 54, "hoi.1"])
def test_names_that_kubernetes_refuses_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="--name: expected lower-case letters"):
        check_deployment(deployment(name=name))


@pytest.mark.parametrize("image", ["", " ", "a b"])
def test_an_image_is_wanted(image: str) -> None:
    with pytest.raises(ConfigError, match="--image: expected a container image"):
        check_deployment(deployment(image=image))


@pytest.mark.parametrize(
    "variable", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "db_password", "RAY_AUTH_TOKEN"]
)
def test_a_secret_is_refused_by_its_name_and_its_value_is_not_said(variable: str) -> None:
    with pytest.raises(ConfigError, match="expected no secret") as raised:
        check_deployment(deployment(environment={variable: "hush-hush"}))
    assert "hush" not in str(raised.value)


def test_a_secret_is_named_as_kubernetes_names_them() -> None:
    with pytest.raises(ConfigError, match="--secret: expected the name of a Kubernetes secret, found 'K=V'"):
        check_deployment(deployment(secrets=("K=V",)))
    with pytest.raises(ConfigError, match="--env: expected the name of an environment variable"):
        check_deployment(deployment(environment={"1 A": "x"}))


def test_several_documents_are_one_text_that_reads_back() -> None:
    shared = {"x": "1"}
    documents = [{"a": dict(shared), "b": "two\nlines\n"}, {"c": shared, "d": shared, "long": "w " * 200}]
    text = to_yaml(documents, ["first", "", "third"])
    assert list(yaml.safe_load_all(text)) == documents
    assert text.startswith("# first\n#\n# third\n")
    assert "b: |\n  two\n  lines\n" in text
    assert "&id" not in text


def test_gib_become_whole_mib() -> None:
    assert (mib(1), mib(0.5), mib(1.0001)) == (1024, 512, 1025)
