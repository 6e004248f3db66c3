"""Why this project is behind, where it is known: a sentence a case."""

_CAUSES = (  # start of the case, what stands beside it, the sentence
    (
        "search step, NAS-Bench-201",
        "torch, lean",
        "one compiled gradient serves both half-steps, so that a search compiles once",
    ),
    (
        "compile nas_bench_201, layers 5 over layers 1",
        "asked for",
        "one cell a stage is no loop; with more the forward loop and the backward loop, which computes every cell "
        "again, are compiled apart; to keep what the cells computed compiles longer (17 s) and takes 1.5 times as long "
        "a pass, in 8 times the memory",
    ),
    (
        "infinite width, ReLU",
        "neural_tangents, stax",
        "angles come of the lengths of u - u' and u + u', row by row on one core: that is right to 4e-7 of the largest "
        "value also between near inputs, where theirs is off by 9e-5",
    ),
    (
        "Gram, two layers; n = 400, d = 784, M = 256",
        "neural_tangents_3",
        "milliseconds on either side: by processor time ours is ahead, by the clock it changes from run to run",
    ),
    (
        "removal scores of one edge",
        "forward passes",
        "as many passes and little else; which of the two is ahead changes from run to run",
    ),
    (
        "exact, ",
        "grouped products",
        "a maximum of products has no fused instruction: at its best it does half the arithmetic of a product of "
        "matrices a second; leaving heads out gains nothing, for nearly every head is among the best of some query",
    ),
)
UNKNOWN = "not known"


def cause(one):
    """Returns the sentence that explains a Comparison that falls short."""
    for start, peer, sentence in _CAUSES:
        if one.case.startswith(start) and one.peer == peer:
            return sentence
    return UNKNOWN
