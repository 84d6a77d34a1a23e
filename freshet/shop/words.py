"""The words of the simulated shop: departments, product types, attributes, invented
brands and models.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Department:
    """One department.

    Attributes:
        name: what the catalogue calls it.
        types: product types, singular.
        attributes: what its products can be; each product has one or two.
        purposes: what shoppers want them for, as in "... for running".
    """

    name: str
    types: tuple[str, ...]
    attributes: tuple[str, ...]
    purposes: tuple[str, ...]


DEPARTMENTS = (
    Department(
        "audio",
        (
            "headphones",
            "earbuds",
            "bluetooth speaker",
            "soundbar",
            "turntable",
            "microphone",
            "radio",
        ),
        ("wireless", "noise cancelling", "waterproof", "portable", "studio", "foldable", "gaming"),
        ("running", "travel", "the office", "podcasts"),
    ),
    Department(
        "computers",
        (
            "laptop",
            "monitor",
            "mechanical keyboard",
            "mouse",
            "webcam",
            "docking station",
            "external hard drive",
        ),
        ("gaming", "ultrawide", "ergonomic", "silent", "4k", "usb c", "compact", "backlit"),
        ("students", "video editing", "the home office"),
    ),
    Department(
        "photo",
        ("camera", "camera lens", "tripod", "memory card", "camera bag", "photo printer", "drone"),
        ("mirrorless", "wide angle", "carbon", "instant", "weatherproof", "128gb", "beginner"),
        ("portraits", "travel", "wildlife"),
    ),
    Department(
        "kitchen",
        (
            "coffee maker",
            "espresso machine",
            "toaster",
            "kettle",
            "blender",
            "air fryer",
            "frying pan",
            "knife set",
        ),
        (
            "stainless steel",
            "cordless",
            "compact",
            "nonstick",
            "programmable",
            "cast iron",
            "quiet",
        ),
        ("small kitchens", "smoothies", "families"),
    ),
    Department(
        "outdoor",
        (
            "hiking backpack",
            "tent",
            "sleeping bag",
            "headlamp",
            "trekking poles",
            "water bottle",
            "camping stove",
        ),
        ("ultralight", "waterproof", "insulated", "two person", "rechargeable", "40l", "winter"),
        ("beginners", "women", "long trails"),
    ),
    Department(
        "sport",
        (
            "running shoes",
            "yoga mat",
            "dumbbell set",
            "bike helmet",
            "fitness tracker",
            "jump rope",
            "cycling jersey",
        ),
        ("trail", "lightweight", "adjustable", "thick", "reflective", "cushioned", "breathable"),
        ("flat feet", "home workouts", "winter"),
    ),
    Department(
        "home",
        (
            "desk lamp",
            "vacuum cleaner",
            "air purifier",
            "office chair",
            "bookshelf",
            "storage box",
            "wall clock",
        ),
        ("cordless", "smart", "foldable", "wooden", "silent", "dimmable", "ergonomic"),
        ("pet hair", "bedrooms", "small rooms"),
    ),
    Department(
        "garden",
        (
            "lawn mower",
            "garden hose",
            "pruning shears",
            "plant pot",
            "watering can",
            "solar light",
            "raised bed",
        ),
        ("electric", "expandable", "galvanized", "ceramic", "solar", "self watering", "large"),
        ("balconies", "tomatoes", "herbs"),
    ),
    Department(
        "toys",
        (
            "building blocks",
            "board game",
            "puzzle",
            "doll house",
            "remote control car",
            "plush bear",
            "science kit",
        ),
        (
            "wooden",
            "1000 piece",
            "educational",
            "cooperative",
            "rechargeable",
            "magnetic",
            "glow in the dark",
        ),
        ("toddlers", "two players", "rainy days"),
    ),
    Department(
        "baby",
        (
            "stroller",
            "car seat",
            "baby monitor",
            "high chair",
            "baby carrier",
            "changing bag",
            "night light",
        ),
        ("foldable", "lightweight", "organic", "video", "reclining", "washable", "twin"),
        ("newborns", "travel", "twins"),
    ),
)

COLOURS = ("black", "white", "blue", "red", "green", "grey", "silver", "sand")

BRANDS = (
    "Norvik", "Alpenta", "Brisko", "Calvane", "Dunmere", "Elvoro", "Fjelltop", "Gravina", "Halden",
    "Ivarra", "Jolvena", "Kestral", "Lumora", "Mirova", "Nactis", "Orbeta", "Pellano", "Quvera",
    "Rivaldo", "Sonvik", "Tarvos", "Umbrella Nine", "Veltrix", "Wexham", "Xandria", "Yarrowe",
    "Zephir", "Arctura", "Bellwen", "Corvida", "Drakewell", "Estiva", "Fenwick Rowe", "Glimmer",
    "Hexaro", "Ilmare", "Juniper Lane", "Korvax", "Lindqvar", "Monteza",
)  # fmt: skip

MODEL_STARTS = (
    "Al", "Bri", "Cor", "Del", "Ex", "Fen", "Gal", "Hel", "Ori", "Jun", "Kai", "Lum", "Mo", "Nex",
    "Pri", "Ra", "Sol", "Tri", "Vi", "Zen",
)  # fmt: skip
MODEL_ENDS = (
    "to", "va", "nix", "ra", "on", "dus", "lia", "mo", "ster", "xa", "que", "bo", "lin", "zo",
    "tis", "ka", "rum", "do",
)  # fmt: skip

ABBREVIATIONS = {
    "bluetooth speaker": "bt speaker",
    "mechanical keyboard": "mech keyboard",
    "external hard drive": "ext hdd",
    "memory card": "sd card",
    "coffee maker": "coffee machine",
    "espresso machine": "espresso maker",
    "hiking backpack": "rucksack",
    "remote control car": "rc car",
    "vacuum cleaner": "vacuum",
    "headphones": "headset",
    "earbuds": "in ears",
    "television": "tv",
    "microphone": "mic",
    "docking station": "dock",
    "fitness tracker": "smart band",
    "stroller": "pram",
    "noise cancelling": "nc",
    "wireless": "bt",
    "waterproof": "wp",
}
