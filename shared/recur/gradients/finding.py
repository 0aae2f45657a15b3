"""What a diagnosis says."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with its evidence and what to do.

    Attributes:
        name: What it is called: "vanishing gradient", "exploding gradient", "dead units", "saturated gates",
            "saturated units", "learning rate too high", "learning rate too low", "non-finite gradient".
        layer: Path of the layer; empty for the model as a whole.
        step: Of training, at which the evidence was complete.
        evidence: What was measured, in numbers.
        remedy: What to do about it.

    Example:
        >>> print(Finding("dead units", "dense", 81, "100 % of its units get no gradient", "Lower the learning rate."))
        step 81: dead units in dense: 100 % of its units get no gradient. Lower the learning rate.
    """

    name: str
    layer: str
    step: int
    evidence: str
    remedy: str

    def __str__(self) -> str:
        where = f" in {self.layer}" if self.layer else ""
        return f"step {self.step}: {self.name}{where}: {self.evidence}. {self.remedy}"
