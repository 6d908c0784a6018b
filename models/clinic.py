"""Two small knowledge bases of diseases and findings, with loops and without."""

from bayescmp.models.grounding import Concept, KnowledgeBase, Rule

_PERSON = ("person",)

CLINIC = KnowledgeBase(
    entities=(("person", ("ann",)),),
    concepts=(
        Concept("exposed", _PERSON, 0.3),
        Concept("covid", _PERSON),
        Concept("flu", _PERSON, 0.15),
        Concept("cold", _PERSON, 0.2),
        Concept("allergy", _PERSON, 0.2),
        Concept("inflammation", _PERSON, 0.02),
        Concept("fever", _PERSON, 0.03),
        Concept("cough", _PERSON, 0.05),
        Concept("sneezing", _PERSON, 0.05),
        Concept("loss of smell", _PERSON, 0.01),
        Concept("itchy eyes", _PERSON, 0.03),
        Concept("positive test", _PERSON),
        Concept("suspected case", _PERSON),
    ),
    rules=(
        Rule("covid(P)", ("exposed(P)",), 0.5),
        Rule("inflammation(P)", ("covid(P)",), 0.8),
        Rule("inflammation(P)", ("flu(P)",), 0.9),
        Rule("fever(P)", ("inflammation(P)",), 0.85),
        Rule("cough(P)", ("covid(P)",), 0.6),
        Rule("cough(P)", ("flu(P)",), 0.7),
        Rule("cough(P)", ("cold(P)",), 0.4),
        Rule("sneezing(P)", ("cold(P)",), 0.8),
        Rule("sneezing(P)", ("allergy(P)",), 0.7),
        Rule("loss of smell(P)", ("covid(P)",), 0.6),
        Rule("loss of smell(P)", ("cold(P)",), 0.15),
        Rule("itchy eyes(P)", ("allergy(P)",), 0.8),
        Rule("positive test(P)", ("covid(P)",), 0.9),
        Rule("suspected case(P)", ("fever(P)", "cough(P)")),
    ),
    name="clinic with shared symptoms",
)
"""Four diseases that share findings; its graph has loops. A test is never falsely positive, covid
never comes without exposure, and a suspected case is one with fever and cough."""

CLINIC_FINDINGS = (
    "exposed(ann)",
    "fever(ann)",
    "cough(ann)",
    "sneezing(ann)",
    "loss of smell(ann)",
    "itchy eyes(ann)",
    "positive test(ann)",
    "suspected case(ann)",
)
"""What can be told: no disease."""

WARD = KnowledgeBase(
    entities=(("person", ("ann",)),),
    concepts=(
        Concept("exposed", _PERSON, 0.3),
        Concept("covid", _PERSON),
        Concept("flu", _PERSON, 0.15),
        Concept("allergy", _PERSON, 0.2),
        Concept("inflammation", _PERSON, 0.02),
        Concept("fever", _PERSON, 0.03),
        Concept("exhaustion", _PERSON, 0.1),
        Concept("sneezing", _PERSON, 0.05),
        Concept("loss of smell", _PERSON, 0.01),
        Concept("positive test", _PERSON),
        Concept("suspected case", _PERSON),
    ),
    rules=(
        Rule("covid(P)", ("exposed(P)",), 0.5),
        Rule("inflammation(P)", ("covid(P)",), 0.8),
        Rule("inflammation(P)", ("flu(P)",), 0.9),
        Rule("fever(P)", ("inflammation(P)",), 0.85),
        Rule("exhaustion(P)", ("inflammation(P)",), 0.7),
        Rule("sneezing(P)", ("allergy(P)",), 0.7),
        Rule("loss of smell(P)", ("covid(P)",), 0.6),
        Rule("positive test(P)", ("covid(P)",), 0.9),
        Rule("suspected case(P)", ("fever(P)", "sneezing(P)")),
    ),
    name="ward without shared symptoms",
)
"""The same manner of base as a tree, on which belief propagation is exact."""

WARD_FINDINGS = (
    "exposed(ann)",
    "fever(ann)",
    "exhaustion(ann)",
    "sneezing(ann)",
    "loss of smell(ann)",
    "positive test(ann)",
    "suspected case(ann)",
)
"""What can be told: no disease."""
