"""The items of the study: which notebook makes which files."""

from dataclasses import dataclass

IMAGES = ("embedded", "benchmark")
GIVEN = {"images": "--images", "output": "--output", "fresh": "--fresh"}  # parameters that have their own option


@dataclass(frozen=True)
class Item:
    """What one notebook re-makes, and the names of the files (without ending) that it writes."""

    name: str
    notebook: str
    shows: str
    writes: tuple[str, ...]
    images: tuple[str, ...] = IMAGES  # the kinds that it can show
    tolerances: tuple[tuple[str, float], ...] = ()  # by a column's name, where a training gives other digits elsewhere


ITEMS = {
    item.name: item
    for item in (
        Item("start", "01_start.ipynb", "three images restored", ("start", "start_scores"), images=("embedded",)),
        Item(
            "network",
            "02_network.ipynb",
            "figs. 1-3: how the network is connected",
            ("fig1", "fig2", "fig3", "layers"),
            images=("embedded",),
        ),
        Item(
            "training",
            "03_training.ipynb",
            "a small network trained live",
            ("training", "training_log"),
            images=("embedded",),
            # With 1 or 2 threads: gain 0.015 dB, loss 1.5e-5, gradient norm 0.03, visible from 11 grey levels apart.
            tolerances=(("gain", 0.05), ("loss", 1e-4), ("norm", 0.1), ("from", 15.0)),
        ),
        Item(
            "train",
            "18_train.ipynb",
            "a network of the study trained; what the paper's would cost",
            ("train", "trainings", "training_cost"),
            images=("embedded",),
        ),
        Item(
            "table1",
            "04_table1_ablations.ipynb",
            "table 1: without one of the memories",
            ("table1", "order", "order_by_seed"),
        ),
        Item(
            "fig4",
            "05_fig4_spectra.ipynb",
            "fig. 4: spectra of predictions",
            ("fig4a", "fig4b", "fig4c", "claims", "fig4_borders", "fig4_errors", "fig4_blocks", "fig4_bands"),
        ),
        Item(
            "fig5",
            "06_fig5_gates.ipynb",
            "fig. 5: gate weight norms",
            ("fig5", "fig5_memories", "fig5_growth", "fig5_worth", "observations", "fig5_kinds"),
        ),
        Item(
            "table2",
            "07_table2_structures.ipynb",
            "table 2, fig. 6: other structures",
            ("table2", "networks", "table2_budgets", "fig6"),
        ),
        Item(
            "table3",
            "08_table3_denoising.ipynb",
            "table 3, fig. 7: denoising",
            ("table3", "fig7a", "fig7b", "table3_spread"),
        ),
        Item(
            "table4",
            "09_table4_super_resolution.ipynb",
            "table 4, fig. 8: super-resolution",
            ("table4", "fig8a", "fig8b", "fig8c", "table4_spread"),
        ),
        Item(
            "table5",
            "10_table5_jpeg.ipynb",
            "table 5, fig. 9: JPEG deblocking",
            ("table5", "fig9a", "fig9b", "table5_spread"),
        ),
        Item("table6", "11_table6_depth.ipynb", "table 6: depth", ("table6", "table6_budgets")),
        Item("pitfalls", "12_pitfalls.ipynb", "pitfalls of the protocol", ("pitfalls",)),
        Item(
            "beyond",
            "13_beyond.ipynb",
            "other levels, tiles, orientations",
            ("levels_sigma", "levels_scale", "levels_quality", "levels", "ways"),
        ),
        Item(
            "exercises", "14_exercises.ipynb", "exercises that check your answer", ("exercises",), images=("embedded",)
        ),
        Item(
            "by_hand",
            "15_by_hand.ipynb",
            "the network, built by hand",
            ("recursive_unit", "receptive_fields", "feature_maps", "predictions", "shapes", "gate_terms"),
            images=("embedded",),
        ),
        Item(
            "section4",
            "16_section4.ipynb",
            "section 4: Highway, DRCN, DenseNet, trained live",
            ("section4_gradients", "section4_curves", "section4_supervision", "section4", "section4_gates"),
            images=("embedded",),
            # With 1 or 2 threads: gain 0.42 dB while it rises and 0.2 at the end, kept 0.011, loss 6e-4 apart.
            tolerances=(("gain", 0.6), ("kept", 0.05), ("loss", 1e-3)),
        ),
        Item(
            "explorer",
            "17_explorer.ipynb",
            "an explorer with controls",
            ("explorer_predictions", "explorer_spectrum", "explorer_memory"),
            images=("embedded",),
        ),
    )
}


def find_item(name: str) -> Item:
    """The item of that name; ValueError with all the names when there is none."""
    if name not in ITEMS:
        raise ValueError(f"unknown item {name!r}: choose some of {', '.join(ITEMS)}")
    return ITEMS[name]
