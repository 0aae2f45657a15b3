"""`GetModelMetadata` and its JSON."""

import json

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from tfserving_dev.servable import Servable
from tfserving_dev.serving_error import invalid

_FIELD = "signature_def"


def check_metadata_request(request: get_model_metadata_pb2.GetModelMetadataRequest) -> None:
    """Refuses requests for no field, or for one that is not there.

    Raises:
        ServingError: It is refused.
    """
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != _FIELD:
            raise invalid(f"Metadata field {field} is not supported")


def metadata(servable: Servable) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The model, its version and all its signatures."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name, response.model_spec.version.value = servable.name, servable.version
    response.metadata[_FIELD].Pack(_signatures(servable))
    return response


def metadata_body(servable: Servable) -> bytes:
    """The same as JSON, with the signatures where `Any` would have a type and bytes."""
    spec = metadata(servable).model_spec
    named = {"model_spec": _as_json(spec), "metadata": {_FIELD: _as_json(_signatures(servable))}}
    return json.dumps(named, indent=1).encode()


def status_body(response: get_model_status_pb2.GetModelStatusResponse) -> bytes:
    """A status as JSON; versions are strings there, for JSON's numbers have fewer digits."""
    return json.dumps(_as_json(response), indent=1).encode()


def _signatures(servable: Servable) -> get_model_metadata_pb2.SignatureDefMap:
    return get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)


def _as_json(message: object) -> dict:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
