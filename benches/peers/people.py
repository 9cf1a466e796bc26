"""Made-up people for the comparison, and questions about them with one right answer each. Seeded: equal seed, equal people.

Used by `run`; alone it prints a sample:   python3 benches/peers/people.py 20
Needs nothing but the standard library and the name tables of this repository (data/given_frequencies.txt,
data/surname_frequencies.txt, data/nicknames.txt).

A person has a name, mostly a mail address (85 %, unique), a phone in E.164 (80 %), a company (80 %) and a city (90 %): about
80 bytes of text. 60 % have US names by their real frequency (a share of them a rare surname put together from two), 40 % names
of nine other countries. Phone numbers are random: never dial or message them.

A question keeps a person's mail address or phone (36 %), or has no identifier that can be used (64 %): typos (27 %), a sound-alike
surname (11 %), a nickname or an initial (10 %), the mail address at another provider (10 %), first and last name swapped (5 %).
Company and city are kept about three times in four, one of them always where there is no identifier.

Nicknames come from the table that selfsame itself uses; a peer without one is at a disadvantage in about a tenth of the questions.
"""

import bisect
import csv
import pathlib
import random
import sys
import unicodedata

DATA = pathlib.Path(__file__).resolve().parents[2] / "data"
FIELDS = ("first", "last", "phone", "email", "company", "city")

FREE_MAIL = (["gmail.com"] * 8 + ["yahoo.com"] * 3 + ["hotmail.com"] * 2 + ["outlook.com"] * 2
             + ["icloud.com", "gmx.de", "web.de", "orange.fr", "libero.it", "wp.pl"])
# Calling code and digits of the national number.
COUNTRIES = {"us": ("1", 10), "de": ("49", 11), "fr": ("33", 9), "es": ("34", 9), "it": ("39", 10), "nl": ("31", 9),
             "pl": ("48", 9), "br": ("55", 11), "tr": ("90", 10), "se": ("46", 9)}
# Given names of nine countries, and surnames as stems and endings.
ABROAD = {
    "de": ("Hans Karl Jürgen Klaus Wolfgang Uwe Dieter Stefan Matthias Jens Torsten Lukas Felix Jonas Ursula Monika Sabine Renate "
           "Heike Petra Anke Katrin Silke Greta Frieda Lena",
           "Berg Stein Wald Bach Feld Kirch Neu Alt Schwarz Weiß Gold Eich Linden Birk Tann Hahn Adler Wolf Winter Sommer Brand "
           "Herz Rosen Kohl Korn Mühl Ober Unter Hinter Stadt",
           "mann er meier hofer bauer müller schmidt stein berg feld ner inger haus dorf hardt"),
    "fr": ("Jean Pierre Michel Philippe Alain Thierry Laurent Julien Benoît Olivier Mathieu Marie Nathalie Isabelle Sylvie "
           "Catherine Françoise Céline Aurélie Émilie Chloé Manon",
           "Dub Mor Lef Rous Bern Gir Fourn Lamb Chev Perr Garn Bouch Cout Delm Font Gauth Mart Renn Vas Vill Mall Charb",
           "ois eau èvre el ard ier ert alier in onnet aud et elle and ot ier"),
    "es": ("José Antonio Manuel Javier Alejandro Sergio Pablo Álvaro Rubén Iván Carmen Pilar Dolores Cristina Lucía Marta Rocío "
           "Inés Elena Beatriz",
           "Fern Gonz Rodr Mart Sánch Per Góm Jim Hern Dí Álv Mor Muñ Rom Guti Navarr Dom Vázqu Ram Serr Blanc Cast Ort",
           "ández ález íguez ínez ez éz ano eno illo era ado ero ete ol"),
    "it": ("Giuseppe Giovanni Luca Marco Matteo Alessandro Stefano Davide Paolo Lorenzo Giulia Chiara Francesca Federica Silvia "
           "Elisa Valentina Martina Paola Ilaria",
           "Ross Bianch Ferr Espos Rom Colomb Ricc Mar Grec Brun Gall Cont Cost Giord Manc Rizz Lombard Morett Barb Font Sant Ner",
           "i o ini etti elli ucci one ari oni ello aro ese iano"),
    "nl": ("Jan Pieter Kees Willem Hendrik Daan Sem Bram Thijs Ruben Anneke Marieke Sanne Femke Lotte Maaike Wilma Ingrid Saskia",
           "Jans Bakk Viss Smeets Mulder Dijk Boer Meij Vos Pet Hendr Dekk Brouw Wit Kuip Post Kok Schout Verh Hoek Zand Molen",
           "en er sen ma stra hof huis kamp ink aar s ers man veld"),
    "pl": ("Piotr Krzysztof Andrzej Tomasz Paweł Michał Marcin Jakub Łukasz Wojciech Agnieszka Małgorzata Katarzyna Barbara Ewa "
           "Joanna Magdalena Monika Zofia",
           "Kowal Wiśniew Wójc Kamin Lewand Zieliń Szymań Woź Dąbrow Kozłow Jankow Mazur Krawcz Piotrow Grabow Pawłow Michal Król",
           "ski ik czyk owski ak iak ec ewicz ka arz icki ewski"),
    "br": ("João Carlos Paulo Pedro Lucas Gabriel Rafael Thiago Bruno Felipe Ana Juliana Camila Fernanda Aline Patrícia Letícia "
           "Larissa Renata Bianca",
           "Silv Sant Oliv Souz Per Lim Carv Ferr Rib Alm Mart Soar Vieir Barb Roch Dias Nun Mend Freit Card Ram Cav",
           "a os eira eiro alho ares eida es anas alcanti osa im ado inho"),
    "tr": ("Mehmet Mustafa Ahmet Hüseyin Murat Emre Burak Kerem Ayşe Fatma Emine Zeynep Elif Hatice Merve Esra Özlem Büşra",
           "Yıl Kaya Demir Çelik Şahin Yıldır Öztür Aydın Arslan Doğan Kılıç Aslan Çetin Koç Kurt Özde Polat Tekin",
           "maz ci oğlu han er kan türk mir baş sel lar im soy"),
    "se": ("Lars Anders Johan Per Nils Karl Erik Magnus Björn Gustav Anna Maria Karin Kristina Ingrid Birgitta Åsa Linnéa Sofia",
           "Lind Berg Ek Björk Sjö Sand Holm Ny Ström Hed Ås Dal Gran Häll Söder Öst Väst Norr",
           "ström berg gren qvist lund man dahl holm sson blad mark ås vall felt"),
}
RARE_ENDINGS = "son man ton ley ford field berg well wood worth by smith land stone dale".split()
CITY_STARTS = ("New East West North South Lake Port Fort Mount Saint Old Upper Lower Little Great Glen Grand High").split()
CITY_ENDS = ("ville ton field wood brook port haven dale ford burg bury side view mouth ham").split()
COMPANY_STARTS = ("Apex Summit Pioneer Global Northern Pacific Atlas Blue Bright Cedar Crown Delta Eagle Evergreen First Golden Granite "
                  "Harbor Horizon Iron Keystone Liberty Lunar Maple Meridian Metro Nova Oak Omega Orion Phoenix Prime Quantum Redwood "
                  "River Rocket Sierra Silver Solar Sterling").split()
COMPANY_ENDS = ("Systems Solutions Consulting Partners Logistics Capital Foods Energy Health Labs Media Motors Networks Pharma Robotics "
                "Security Software Services Group Industries").split()
COMPANY_FORMS = ["Incorporated", "LLC", "Limited", "Corporation", "International", "and Associates", "Holdings Inc", "Company"]
SOUNDS = [("ph", "f"), ("ck", "k"), ("c", "k"), ("y", "i"), ("ie", "y"), ("ee", "ea"), ("th", "t"), ("z", "s"), ("ll", "l"), ("nn", "n"),
          ("son", "sen"), ("ei", "ie"), ("w", "v")]
# Shares of the questions in percent; "noid" has no usable identifier.
KINDS = (["email_kept"] * 18 + ["phone_kept"] * 18 + ["typo_noid"] * 28 + ["sound_noid"] * 11 + ["nick_noid"] * 10
         + ["swap_noid"] * 5 + ["newmail_noid"] * 10)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
FOLDED = str.maketrans({"ß": "ss", "ł": "l", "ı": "i", "ø": "o", "æ": "ae"})


def _table(name):
    names, up_to, total = [], [], 0
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            word, people = line.split()
            total += int(people)
            names.append(word.capitalize())
            up_to.append(total)
    return names, up_to


def _nicknames():
    found = {}
    for line in (DATA / "nicknames.txt").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words and not line.startswith("#"):
            found[words[0]] = [word.capitalize() for word in words[1:]]
    return found


def ascii_letters(text):
    """Lower-case letters and digits only, as in a mail address."""
    text = unicodedata.normalize("NFKD", text.lower().translate(FOLDED)).encode("ascii", "ignore").decode()
    return "".join(c for c in text if c.isalnum())


class People:
    """People and questions, in the order in which they are asked for."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.given, self.surnames = _table("given_frequencies.txt"), _table("surname_frequencies.txt")
        self.nicknames = _nicknames()
        made = random.Random(4711)  # the lists are the same for every seed
        self.rare = [stem + made.choice(RARE_ENDINGS) for stem in self.surnames[0] if len(stem) <= 6 for _ in range(4)]
        self.rare = sorted(set(self.rare))
        self.abroad = {}
        for country, (given, stems, endings) in ABROAD.items():
            last = [stem + ending for stem in stems.split() for ending in endings.split()]
            made.shuffle(last)
            self.abroad[country] = (given.split(), last)
        self.countries = list(ABROAD)
        short = [name for name in self.surnames[0] if len(name) <= 7][:900]
        towns = [name + made.choice(CITY_ENDS) for name in short] + [f"{made.choice(CITY_STARTS)} {name}" for name in short]
        made.shuffle(towns)
        self.cities = sorted(set(towns[:600]), key=towns.index)
        firms = [f"{a} {b} {made.choice(COMPANY_FORMS)}".strip() for a in COMPANY_STARTS for b in COMPANY_ENDS]
        firms += [f"{made.choice(self.surnames[0][:4000])} {made.choice(COMPANY_ENDS)} {made.choice(COMPANY_FORMS)}".strip()
                  for _ in range(4500)]
        firms += [f"{made.choice(self.surnames[0][:4000])} and {made.choice(self.surnames[0][:4000])} {made.choice(COMPANY_FORMS)}" for _ in range(3000)]
        made.shuffle(firms)
        self.companies = sorted(set(firms), key=firms.index)[:8000]
        self.emails = set()

    def _often(self, table):
        names, up_to = table
        return names[bisect.bisect_right(up_to, self.random.random() * up_to[-1] * 0.999999)]

    def _skewed(self, names):
        return names[int(len(names) * self.random.random() ** 2)]

    def _email(self, first, last, company):
        dice = self.random
        x, y = ascii_letters(first) or "x", ascii_letters(last) or "y"
        if dice.random() < .4:
            domain = ascii_letters(company.split(" ")[0]) + ascii_letters(company.split(" ")[-1])[:6] + ".com"
            local = dice.choice((f"{x}.{y}", f"{x[0]}{y}", f"{x}_{y}", f"{y}.{x}")) + dice.choice(("", "", str(dice.randint(1, 99))))
            return f"{local}@{domain}"
        number = dice.randint(1, 9999)
        local = dice.choice((f"{x}.{y}{number}", f"{x}{y}{number}", f"{x[0]}{y}{number}", f"{y}{x[0]}{number}"))
        return f"{local}@{dice.choice(FREE_MAIL)}"

    def _phone(self, country):
        code, digits = COUNTRIES[country]
        if country == "us":  # an area and an exchange that may be assigned
            return f"+1{self.random.randint(201, 989)}{self.random.randint(200, 999)}{self.random.randint(0, 9999):04}"
        return f"+{code}{self.random.randint(2, 9)}{self.random.randrange(10 ** (digits - 1)):0{digits - 1}}"

    def _typo(self, text):
        if len(text) < 3:
            return text + "e"
        at, roll, letter = self.random.randrange(1, len(text)), self.random.random(), self.random.choice(LETTERS)
        if roll < .25:
            return text[:at] + text[at + 1:]
        if roll < .5:
            return text[:at] + letter + text[at:]
        if roll < .75:
            return text[:at] + letter + text[at + 1:]
        at = min(at, len(text) - 2)
        return text[:at] + text[at + 1] + text[at] + text[at + 2:]

    def _sound_alike(self, text):
        for old, new in self.random.sample(SOUNDS, len(SOUNDS)):
            if old in text[1:]:
                return text[0] + text[1:].replace(old, new, 1)
        return self._typo(text)

    def _nick(self, first):
        names = self.nicknames.get(first.lower())
        return self.random.choice(names) if names else first[0] + "."

    def person(self):
        """first, last, phone, email, company, city, country."""
        dice = self.random
        if dice.random() < .6:
            country, first = "us", self._often(self.given)
            last = self.random.choice(self.rare) if dice.random() < .12 else self._often(self.surnames)
        else:
            country = dice.choice(self.countries)
            given, surnames = self.abroad[country]
            first, last = self._skewed(given), self._skewed(surnames)
        company, city = self._skewed(self.companies), self._skewed(self.cities)
        email = self._email(first, last, company) if dice.random() < .85 else ""
        while email and email in self.emails:
            local, domain = email.split("@")
            email = f"{local}{dice.randint(0, 9)}@{domain}"
        self.emails.add(email)
        phone = self._phone(country) if dice.random() < .8 or not email else ""
        return [first, last, phone, email, company if dice.random() < .8 else "", city if dice.random() < .9 else "", country]

    def said_again(self, kind, person):
        """The person as another source says it: first, last, phone, email, company, city."""
        first, last, phone, email, company, city, country = person
        dice = self.random
        if kind == "email_kept":
            first, phone = (self._nick(first) if dice.random() < .5 else self._typo(first)), self._phone(country)
        elif kind == "phone_kept":
            email = self._email(first, last, self._skewed(self.companies))
            first = self._nick(first) if dice.random() < .5 else self._typo(first)
        elif kind == "typo_noid":
            if dice.random() < .7:
                last = self._typo(last)
            else:
                first = self._typo(first)
            if dice.random() < .3:
                last = self._typo(last)
            phone, email = (self._phone(country) if dice.random() < .5 else ""), ""
        elif kind == "sound_noid":
            last, phone, email = self._sound_alike(last), "", ""
        elif kind == "nick_noid":
            first, phone = self._nick(first), ""
            email = self._email(first, last, company or self._skewed(self.companies)) if dice.random() < .5 else ""
            if dice.random() < .3:
                last = self._typo(last)
        elif kind == "swap_noid":
            first, last, phone, email = last, (self._typo(first) if dice.random() < .3 else first), "", ""
        elif kind == "newmail_noid":
            if email:
                local, domain = email.split("@")
                email = local + "@" + dice.choice([other for other in FREE_MAIL if other != domain])
            phone, last = "", self._typo(last)
        if dice.random() < .25:
            company = ""
        elif company and dice.random() < .2:
            company = self._typo(company)
        if dice.random() < .25:
            city = ""
        return [first, last, phone, email, company, city]

    def question(self, person, kind):
        """What is asked, or None where this person cannot be asked for in this way."""
        phone, email, company, city = person[2:6]
        if (kind == "email_kept" and not email) or (kind == "phone_kept" and not phone):
            return None
        noid = kind.endswith("_noid")
        if noid and not (company or city):
            return None  # nothing would tell namesakes apart
        asked = self.said_again(kind, person)
        if noid and not (asked[4] or asked[5]):
            asked[4], asked[5] = ("", city) if city else (company, "")
        return asked


def write(path, count, questions, seed):
    """Writes `count` people as tab-separated lines (number and the six fields); returns (questions, facts).

    A question is (kind, number of the right person, the six fields asked).
    """
    people = People(seed)
    picked = random.Random(seed + 1)
    wanted = {picked.randrange(count) for _ in range(questions * 3)} if count > questions * 6 else range(count)
    wanted, kept, text = set(wanted), [], 0
    with open(path, "w", encoding="utf-8") as out:
        for number in range(count):
            person = people.person()
            text += sum(len(field.encode()) for field in person[:6])
            out.write(f"{number}\t" + "\t".join(person[:6]) + "\n")
            if number in wanted:
                kept.append((number, person))
    picked.shuffle(kept)
    kinds = [KINDS[at % len(KINDS)] for at in range(questions)]
    picked.shuffle(kinds)
    asked = []
    for number, person in kept * 4:
        if not kinds:
            break
        found = people.question(person, kinds[-1])
        if found:
            asked.append((kinds.pop(), number, found))
    noid = sum(1 for kind, _, _ in asked if kind.endswith("_noid"))
    facts = {"people": count, "bytes_of_text_each": round(text / count, 1), "questions": len(asked),
             "questions_without_usable_identifier": noid}
    return asked, facts


def write_upserts(rows, count, seed):
    """`count` records for writes, every other one somebody of `rows` said again, the others new: the six fields of each."""
    people, dice = People(seed + 77), random.Random(seed + 78)
    records = []
    for at in range(count):
        if at % 2 and rows:
            known = dice.choice(rows) + ["us"]
            records.append(people.said_again(dice.choice(KINDS), known))
        else:
            records.append(people.person()[:6])
    return records


def write_duplicates(path, count, seed, share=.2):
    """A CSV file with a share of noisy duplicates for offline deduplication; returns who each line is."""
    people, dice = People(seed + 177), random.Random(seed + 178)
    base = int(count * (1 - share))
    rows = [(people.person(), at) for at in range(base)]
    while len(rows) < count:
        at = dice.randrange(base)
        person = rows[at][0]
        rows.append((people.said_again(dice.choice(KINDS), person) + [person[6]], at))
    dice.shuffle(rows)
    with open(path, "w", encoding="utf-8", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(["id", "first_name", "last_name", "phone", "email", "company", "city"])
        lines.writerows([number] + person[:6] for number, (person, _) in enumerate(rows))
    return [who for _, who in rows]


if __name__ == "__main__":
    sample = People(1)
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        someone = sample.person()
        print(someone[:6], "->", sample.question(someone, random.choice(KINDS)))
