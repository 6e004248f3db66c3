"""What configs of darts_perturb share: images, search, selection, retraining."""

from ml_collections import ConfigDict


def image_fields(config, dataset, **changes):
    """Adds the fields of images to search and train on."""
    config.dataset = dataset  # textures, digits, or files
    config.data_path = ""  # of dataset=files: an .npz, or a folder of CIFAR-10, CIFAR-100 or SVHN as published
    config.data_seed = 0  # split and order of the images
    config.num_train = 0  # training images of files, drawn at random; 0 for all
    config.num_test = 0  # test images of files; 0 for all
    config.valid_fraction = 0.1  # of the training images of files, held out to choose the epoch of retraining
    config.textures = ConfigDict({"size": 8, "num_train": 1000, "num_valid": 100, "num_test": 300})  # of each class
    config.shift = 0  # augmentation: largest move in pixels
    config.flip = False  # augmentation: mirror images half the time
    config.update(changes)


def darts_retraining(**changes):
    """Returns how the network of a DARTS genotype is trained on CIFAR (arXiv:1806.09055, appendix A.3)."""
    recipe = ConfigDict()
    recipe.seeds = 3  # how many times each cell is trained
    recipe.channels = 36
    recipe.layers = 20  # all cells
    recipe.epochs = 600
    recipe.batch_size = 96
    recipe.learning_rate = 0.025
    recipe.final_learning_rate = 0.0
    recipe.momentum = 0.9
    recipe.nesterov = False
    recipe.weight_decay = 3e-4
    recipe.clip = 5.0  # largest norm of the gradient; 0 for none
    recipe.auxiliary = 0.4  # weight of the auxiliary classifier's loss; 0 for none; needs images of 32x32
    recipe.drop_path = 0.2  # rate at the end, growing linearly; 0 for none
    recipe.cutout = 16  # side of the square that is cut out; 0 for none
    recipe.update(changes)
    return recipe


def nas_bench_201_retraining(**changes):
    """Returns how NAS-Bench-201 trains its networks on CIFAR-10 (arXiv:2001.00326, table 1)."""
    recipe = darts_retraining(
        channels=16,
        layers=5,  # cells a stage
        epochs=200,
        batch_size=256,
        learning_rate=0.1,
        nesterov=True,
        weight_decay=5e-4,
        clip=0.0,
        auxiliary=0.0,
        drop_path=0.0,
        cutout=0,
    )
    recipe.update(changes)
    return recipe


def architecture_search(name, space, dataset):
    """Returns the config of a search, its selections and their retraining, with the numbers of arXiv:2108.04392."""
    config = ConfigDict({"run": name, "space": space})
    config.space_file = ""  # a .json with a space of your own instead, see darts_perturb/space.py
    config.seeds = (0, 1, 2, 3)  # of the search; each selects one cell by every way
    config.searches = ("first_order", "fixed")  # also second_order, sdarts_rs, sdarts_adv; fixed: alpha never moves
    config.selections = ("magnitude", "perturbation", "one_shot")  # one_shot: perturbation without fine-tuning
    image_fields(config, dataset)
    config.channels = 16
    config.layers = 5 if space == "nas_bench_201" else 8  # cells a stage; of the DARTS spaces, all cells
    config.batch_size = 64
    config.eval_batch_size = 200
    config.steps_per_call = 120  # half-steps in one compiled call, about
    config.dtype = "float32"  # of activations; bfloat16 for an accelerator
    config.table = ""  # an .npz of the test accuracies of NAS-Bench-201, or a file or folder of NATS-Bench

    config.search = ConfigDict()
    config.search.epochs = 100 if space == "nas_bench_201" else 50  # over half of the training images
    config.search.learning_rate = 0.025
    config.search.final_learning_rate = 0.001
    config.search.momentum = 0.9
    config.search.weight_decay = 3e-4
    config.search.clip = 5.0
    config.search.alpha_learning_rate = 3e-4
    config.search.alpha_weight_decay = 1e-3
    config.search.epsilon = (0.03, 0.3)  # of sdarts_rs and sdarts_adv, at the first epoch and the last

    config.projection = ConfigDict()
    config.projection.criterion = "accuracy"  # or loss
    config.projection.order = "random"  # of the edges; gap: those whose strongest operation leads most come first
    config.projection.tune_epochs = 5  # between two projections
    config.projection.learning_rate = 0.0025
    config.projection.method = "auto"  # masks by vmap or map
    config.projection.official = False  # candidates on different batches and augmentation, as the public code has it
    config.projection.topology = "greedy"  # independent, official; which two edges into a node stay

    config.retrain = nas_bench_201_retraining() if space == "nas_bench_201" else darts_retraining()
    # or supernet, one compiled program for all cells: of these fields it reads the epochs, the rates, seeds and random
    # cells; its sizes, batches and optimiser are those of the search
    config.retrain.network = "own"
    config.retrain.seeds = 3  # of each selected cell; 0 for none
    config.retrain.random_cells = 10
    config.retrain.random_seeds = 1  # of each random cell, if selected cells have as many
    return config


def cifar(config, valid_fraction=0.1):
    """Sets the fields of images of CIFAR or SVHN: padded by 4, cropped and mirrored; bfloat16 for an accelerator."""
    config.dataset = "files"
    config.valid_fraction = valid_fraction
    config.shift, config.flip = 4, True
    config.dtype = "bfloat16"


def small_search(config, dataset="textures", epochs=40):
    """Sets the fields of a search that a CPU does in a minute: few channels, alpha's learning rate raised."""
    config.seeds = (0, 1, 2)
    config.dataset, config.shift, config.flip = dataset, 0, False
    config.textures.num_train, config.textures.num_valid = 240, 60
    config.channels, config.layers = 4, 1 if config.space == "nas_bench_201" else 3
    config.eval_batch_size = 120 if dataset == "digits" else 200
    config.steps_per_call = 18
    config.dtype = "float32"
    config.search.epochs = epochs
    config.search.alpha_learning_rate = 0.03
    config.projection.tune_epochs = 3
    config.retrain.network = "supernet"
    config.retrain.learning_rate, config.retrain.final_learning_rate = 0.1, 0.0
    config.retrain.epochs = 12
    config.retrain.seeds = 2


def smoke_search(config):
    """Sets the fields of a few seconds' run through every line, on digits."""
    small_search(config, "digits", epochs=1)
    config.seeds = (0, 1)
    config.steps_per_call = 6
    config.projection.tune_epochs = 1
    config.retrain.epochs = 1
    config.retrain.random_cells = 2
    config.retrain.seeds = 1


def supernet_alone(config, *, tuned=False):
    """Removes the fields of selection and retraining, for a run that looks at the trained supernet.

    Args:
        config: of `architecture_search`.
        tuned: whether the run fine-tunes it.
    """
    for field in ("selections", "table", "retrain"):
        del config[field]
    for field in ("criterion", "order", "topology") + (() if tuned else ("tune_epochs", "learning_rate")):
        del config.projection[field]
    config.searches = ("first_order",)
    config.conv = ""  # the operation that skip connections are compared with; empty: a 3x3 convolution
