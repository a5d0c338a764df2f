"""Build the concept lists: five families of single words, and words that mean nothing beside them.

    python datasets/concepts/build.py [--out datasets/concepts]

Two Debian packages are downloaded (not installed) with `apt-get download`. The same versions and the same English
corpus give the same bytes.

Elements, cities, animals and foods are written by hand below, countries are those of ISO 3166-1. WordNet says which of
the animals and foods are animals and foods first of all. A word is left out that stands in two lists, whatever its
case. A pseudo-concept is drawn letter by letter from a chain that knows which letters follow which two in the words of
its list; it is in no list, not in WordNet in any sense, and nowhere in the English corpus.
"""

import argparse
import csv
import hashlib
import json
import re
import subprocess
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pandas as pd
import tomlkit

PACKAGES = {"wordnet-base": "1:3.0-37", "iso-codes": "4.15.0-1"}
PSEUDO_PER_CATEGORY = 60
SEED = 0
ANIMAL, FOOD = 5, 13  # WordNet's numbers of noun.animal and noun.food

# No words that are other things as often: not lead, mercury and tin, nor python, orange and Florence below.
ELEMENTS = """
hydrogen helium lithium beryllium boron carbon nitrogen oxygen fluorine neon sodium magnesium aluminum silicon
phosphorus sulfur chlorine argon potassium calcium scandium titanium vanadium chromium manganese iron cobalt nickel
copper zinc gallium germanium arsenic selenium bromine krypton rubidium strontium yttrium zirconium niobium molybdenum
technetium ruthenium rhodium palladium silver cadmium indium antimony tellurium iodine xenon cesium barium lanthanum
cerium praseodymium neodymium promethium samarium europium gadolinium terbium dysprosium holmium erbium thulium
ytterbium lutetium hafnium tantalum tungsten rhenium osmium iridium platinum gold thallium bismuth polonium astatine
radon francium radium actinium thorium protactinium uranium neptunium plutonium americium curium berkelium californium
einsteinium fermium mendelevium nobelium lawrencium rutherfordium dubnium seaborgium bohrium hassium meitnerium
darmstadtium roentgenium copernicium nihonium flerovium moscovium livermorium tennessine oganesson
"""

CITIES = """
London Paris Berlin Rome Madrid Vienna Prague Warsaw Budapest Athens Lisbon Dublin Brussels Amsterdam Copenhagen Oslo
Stockholm Helsinki Moscow Kiev Minsk Riga Vilnius Tallinn Bucharest Sofia Belgrade Zagreb Ljubljana Bratislava
Sarajevo Skopje Tirana Istanbul Ankara Cairo Tunis Algiers Rabat Tripoli Khartoum Nairobi Kampala Kigali Lusaka Harare
Pretoria Johannesburg Lagos Abuja Accra Dakar Bamako Niamey Luanda Kinshasa Mogadishu Tehran Baghdad Damascus Beirut
Jerusalem Amman Riyadh Muscat Doha Dubai Kabul Islamabad Karachi Lahore Delhi Mumbai Calcutta Chennai Bangalore
Hyderabad Dhaka Kathmandu Colombo Yangon Bangkok Hanoi Saigon Manila Jakarta Bandung Beijing Shanghai Nanjing Chengdu
Wuhan Tianjin Shenzhen Taipei Seoul Busan Pyongyang Tokyo Osaka Kyoto Nagoya Yokohama Sapporo Hiroshima Nagasaki
Sydney Melbourne Brisbane Perth Adelaide Canberra Auckland Wellington Toronto Montreal Ottawa Vancouver Calgary
Edmonton Winnipeg Chicago Boston Seattle Houston Dallas Denver Atlanta Miami Detroit Philadelphia Baltimore Cleveland
Pittsburgh Cincinnati Milwaukee Minneapolis Honolulu Havana Caracas Lima Quito Santiago Montevideo Manchester
Liverpool Birmingham Leeds Sheffield Glasgow Edinburgh Munich Hamburg Cologne Frankfurt Stuttgart Dresden Leipzig
Marseille Bordeaux Toulouse Strasbourg Milan Naples Turin Venice Genoa Barcelona Seville Zaragoza Rotterdam Antwerp
Geneva Zurich Basel
"""

ANIMALS = """
dog cat horse cow pig sheep goat chicken goose turkey rabbit mouse rat squirrel deer elk moose wolf fox lion tiger
leopard jaguar cheetah panther puma lynx elephant giraffe zebra hippopotamus rhinoceros buffalo bison antelope gazelle
camel llama alpaca donkey mule pony monkey ape gorilla chimpanzee orangutan gibbon baboon lemur kangaroo wallaby koala
wombat opossum platypus hedgehog shrew beaver otter badger weasel ferret mink skunk raccoon hyena jackal coyote
mongoose meerkat walrus whale dolphin porpoise manatee eagle hawk falcon owl vulture crow raven magpie sparrow robin
finch canary pigeon dove gull pelican stork heron flamingo swan penguin ostrich emu parrot cockatoo woodpecker
hummingbird nightingale peacock pheasant partridge quail rooster snake cobra viper rattlesnake lizard gecko iguana
chameleon crocodile alligator tortoise frog toad newt salamander shark stingray eel salmon trout tuna herring cod
halibut mackerel goldfish piranha barracuda crab lobster shrimp squid octopus oyster mussel clam snail slug worm
spider scorpion ant bee wasp hornet butterfly moth mosquito beetle ladybug grasshopper cricket locust dragonfly
cockroach termite flea louse centipede jellyfish starfish hamster gerbil porcupine armadillo anteater aardvark ocelot
tapir caribou reindeer yak gnu ibex wolverine
"""

FOODS = """
bread butter cheese milk cream yogurt egg rice pasta noodle spaghetti macaroni pizza sandwich hamburger sausage bacon
ham beef pork veal lamb mutton steak soup stew salad sauce ketchup mustard mayonnaise vinegar salt pepper sugar honey
syrup jelly marmalade chocolate candy caramel cake pie cookie biscuit pastry doughnut muffin pancake waffle toast
bagel croissant pudding custard dessert sherbet potato tomato onion garlic carrot celery lettuce spinach cabbage
broccoli cauliflower cucumber zucchini pumpkin eggplant radish turnip beet asparagus artichoke mushroom pea bean
lentil chickpea corn oatmeal porridge granola flour dough apple pear peach plum apricot cherry grape raisin lemon
grapefruit tangerine banana pineapple mango papaya kiwi melon watermelon strawberry raspberry blueberry blackberry
cranberry coconut avocado fig pomegranate almond walnut peanut cashew hazelnut pecan pistachio cinnamon ginger nutmeg
vanilla parsley basil oregano thyme rosemary sage dill coffee tea juice lemonade beer wine cider whiskey vodka brandy
champagne sherry gin rum tofu sushi taco burrito tortilla lasagna omelet caviar popcorn pretzel broth gravy margarine
molasses tapioca vermicelli meringue gingerbread marzipan nougat sauerkraut chutney salsa guacamole
"""

# Names that are a person's, a state's or a thing's as often as a country's or an island's.
NO_COUNTRIES = {"Chad", "Georgia", "Guinea", "Jersey", "Jordan", "Turkey", "Montserrat"}

TEMPLATES = {
    "elements": ["The element {}", "A compound of {}", "They measured traces of {}", "Chemists isolated {}"],
    "cities": ["The city of {}", "Last year she moved to {}", "The train arrived in {}", "He was born in {}"],
    "animals": [
        "The animal was the {}",
        "In the distance we saw the {}",
        "A story about the {}",
        "It behaved like the {}",
    ],
    "foods": ["For lunch they had {}", "The recipe needs some {}", "It tasted like {}", "The shop sells {}"],
    "countries": ["The country of {}", "The government of {}", "They travelled across {}", "He was born in {}"],
}


class WordNet:
    """Of each word the class of its first sense as a noun, None where it has none, and every word of all."""

    def __init__(self, folder: Path) -> None:
        classes = {line.split()[0]: int(line.split()[1]) for line in entries(folder / "data.noun")}
        self.first: dict[str, int] = {}
        for line in entries(folder / "index.noun"):
            fields = line.split()
            self.first[fields[0]] = classes[fields[-int(fields[2])]]
        parts = ("noun", "verb", "adj", "adv")
        lemmas = {line.split()[0] for part in parts for line in entries(folder / f"index.{part}")}
        self.words = {word for lemma in lemmas for word in re.split(r"[_'-]", lemma)}


def entries(path: Path) -> list[str]:
    """The lines of a WordNet file behind its licence."""
    return [line for line in path.read_text("utf-8").splitlines() if not line.startswith("  ")]


def fetch(folder: Path) -> Path:
    """Download and unpack the Debian packages below `folder`; return the root of their files."""
    for name, version in PACKAGES.items():
        subprocess.run(["apt-get", "download", f"{name}={version}"], cwd=folder, check=True)
    for archive in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive, folder / "root"], check=True)
    return folder / "root/usr/share"


def countries(root: Path) -> list[str]:
    """Countries and territories whose usual name is one word of plain letters."""
    rows = json.loads((root / "iso-codes/json/iso_3166-1.json").read_text("utf-8"))["3166-1"]
    names = {row.get("common_name", row["name"]).split(",")[0] for row in rows}
    return [name for name in names if re.fullmatch("[A-Z][a-z]+", name) and name not in NO_COUNTRIES]


def pseudo_words(words: list[str], known: set[str], rng: Random) -> list[str]:
    """Words like those of a list, made letter by letter and known to nobody, capitalised where the list is."""
    follows: dict[str, list[str]] = defaultdict(list)
    for word in words:
        marked = f"^^{word.lower()}$"
        for place in range(2, len(marked)):
            follows[marked[place - 2 : place]].append(marked[place])
    shortest, longest = sorted(map(len, words))[len(words) // 10], sorted(map(len, words))[-len(words) // 10]
    found: list[str] = []
    while len(found) < PSEUDO_PER_CATEGORY:
        made = "^^"
        while not made.endswith("$"):
            made += rng.choice(follows[made[-2:]])
        word = made.strip("^$")
        if shortest <= len(word) <= longest and word not in known:
            known.add(word)
            found.append(word.capitalize() if words[0][0].isupper() else word)
    return sorted(found)


def write(path: Path, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> dict[str, object]:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": len(rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = fetch(Path(temporary))
        wordnet, nations = WordNet(root / "wordnet"), countries(root)
    lists = {
        "elements": ELEMENTS.split(),
        "cities": CITIES.split(),
        "animals": [word for word in ANIMALS.split() if wordnet.first.get(word) == ANIMAL],
        "foods": [word for word in FOODS.split() if wordnet.first.get(word) == FOOD],
        "countries": nations,
    }
    times = Counter(word.lower() for words in lists.values() for word in set(words))
    lists = {name: sorted({w for w in words if times[w.lower()] == 1}) for name, words in lists.items()}
    english = [pd.read_parquet(args.out.parent / "english" / f"{split}.parquet") for split in ("train", "heldout")]
    known = wordnet.words | set(times)
    known |= {word for part in english for text in part["text"] for word in re.findall(r"[a-z]+", text.lower())}
    rng = Random(SEED)
    pseudo = {name: pseudo_words(words, known, rng) for name, words in lists.items()}

    record = tomlkit.parse((args.out / "dataset.toml").read_text("utf-8"))
    record["files"] = tomlkit.table()
    for name, words in lists.items():
        rows = [(word, "") for word in words] + [(word, "yes") for word in pseudo[name]]
        record["files"][f"{name}.csv"] = write(args.out / f"{name}.csv", ("concept", "pseudo"), rows)
        record["files"][f"{name}.csv"]["concepts"] = len(words)
        print(name, len(words), pseudo[name][:8])
    sentences = [(name, template.format("{concept}")) for name, some in TEMPLATES.items() for template in some]
    record["files"]["templates.csv"] = write(args.out / "templates.csv", ("category", "template"), sentences)
    (args.out / "dataset.toml").write_text(tomlkit.dumps(record), "utf-8")


if __name__ == "__main__":
    main()
