"""What is pasted into the settings is the policy that was tried."""

import tomllib

from console.toml import policy_toml
from schemas.policy import CodeRules, Exemption, Policy, Threshold

ODD = 'b"o\\o\x7fks\n目 ' + "\t"


def test_it_comes_back():
    policy = Policy(
        thresholds={
            "text": Threshold(block=0.6, review=0.1234567),
            "qr": Threshold(block=1, unless=Exemption(score="code_area", below=0.05)),
        },
        categories={ODD: {"text": Threshold(block=0.9)}},
        codes=CodeRules(allowed_hosts=["brand.example"]),
    )
    assert Policy.model_validate(tomllib.loads(policy_toml(policy))["model"]["policy"]) == policy
