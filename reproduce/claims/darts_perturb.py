"""Claims of arXiv 2108.04392, architecture selection in differentiable NAS."""

from reproduce.claims.claim import Claim, at
from reproduce.verdict import Accepted

CLAIMS = (
    Claim(
        name="alpha-drifts-to-parameter-free",
        system="darts_perturb",
        run="textures",
        title="magnitude selects operations without parameters",
        statement=(
            "As the supernet trains, alpha drifts to operations that learn nothing (skip connections, pooling), so "
            "selection by magnitude returns weak cells. Measured: share of the edges on which the largest alpha is "
            "that of an operation without parameters; three of the five operations have none, so chance gives 0.6."
        ),
        source="Sections 1 and 3; Table 3 (all-skip cells on NAS-Bench-201)",
        published="1 (every edge skips)",
        measure=at("selections", "magnitude of first_order", "parameter_free_share"),
        accepted=Accepted(low=0.6),
        plots=("alpha",),
        note=(
            "Texture patches, one cell a stage, alpha's learning rate raised so that minutes show what 100 epochs do. "
            "The drift depends on the setting: with images moved by a pixel the share was 0.42, and digits showed none."
        ),
    ),
    Claim(
        name="skip-domination",
        system="darts_perturb",
        run="textures",
        title="the skip connection outgrows the convolution",
        statement=(
            "After softmax the mean weight of the skip connections ends above that of the 3x3 convolutions. Measured: "
            "their difference at the end of the search."
        ),
        source="Figure 3, Proposition 1",
        published="positive (figure only)",
        measure=at("searches", "first_order", "skip_minus_conv"),
        accepted=Accepted(low=0.0),
        plots=("alpha",),
    ),
    Claim(
        name="alpha-is-not-strength",
        system="darts_perturb",
        run="textures",
        title="the largest alpha is not the strongest operation",
        statement=(
            "The operation with the largest alpha on an edge is often not the one whose removal hurts the supernet "
            "most. Measured: share of the edges on which the two agree, by validation accuracy on the same images."
        ),
        source="Section 3, Figures 1 and 2",
        published="about half the edges disagree (S2)",
        measure=at("searches", "first_order", "alpha_and_removal_agree"),
        accepted=Accepted(high=0.9),
        plots=("strengths_first_order",),
        note=(
            "Removal without renormalising takes away the weight itself, so a saturated alpha agrees with it by "
            "construction: this figure is an upper bound of the agreement."
        ),
    ),
    Claim(
        name="perturbation-beats-magnitude",
        system="darts_perturb",
        run="textures",
        title="perturbation finds a better cell than magnitude",
        statement=(
            "Selection by perturbation returns a better network than selection by magnitude from the same supernet. "
            "Measured: test accuracy of the retrained cells, perturbation less magnitude, paired over seeds."
        ),
        source="Table 3 (NAS-Bench-201, CIFAR-10)",
        published="+0.338 (error 45.7% to 11.89%)",
        measure=at("selections", "perturbation of first_order", "minus_magnitude"),
        accepted=Accepted(low=0.0),
        plots=("accuracy",),
        note="The skeleton's residual blocks do much of the work here, so cells differ by little more than seeds do.",
    ),
    Claim(
        name="fixed-alpha-perturbation",
        system="darts_perturb",
        run="textures",
        title="perturbation works on a supernet whose alpha never moved",
        statement=(
            "With alpha fixed the supernet trains as well for selection: perturbation on it returns a better network "
            "than magnitude on the searched one. Measured: difference in test accuracy, paired over seeds."
        ),
        source="Section 5.3, Table 3 (fixed alpha)",
        published="+0.395 (error 45.7% to 6.20%)",
        measure=at("selections", "perturbation of fixed", "minus_magnitude"),
        accepted=Accepted(low=0.0),
        plots=("accuracy",),
    ),
    Claim(
        name="selected-beats-random",
        system="darts_perturb",
        run="textures",
        title="a cell selected by perturbation beats a random one",
        statement=(
            "Perturbation on a supernet of fixed alpha returns a cell better than one drawn at random. Measured: mean "
            "test accuracy of the selected cells less that of 30 random ones, one training of each."
        ),
        source="no statement of the paper; what any selection has to do",
        published="none",
        measure=at("selections", "perturbation of fixed", "minus_random"),
        accepted=Accepted(low=0.0),
        plots=("accuracy",),
    ),
)
