"""Which passwords are acceptable: long ones that are not the first that a guesser tries.

There are no rules of composition (NIST SP 800-63B-4 §3.1.1.2). Whatever is refused here is refused with its
letters' case, its spaces and its punctuation left out of account. Of 3,000 passwords of 16 characters made by
chance, from letters, digits and signs, less than one in a hundred is.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator
from itertools import pairwise

from domain.kernel.errors import Invalid

PASSWORD_LEAST = 15  # NIST SP 800-63B-4 §3.1.1.2, a password as the only factor
PASSWORD_MOST = 128  # bounds the work of hashing

_SURROGATE = re.compile("[\ud800-\udfff]")

_PERIOD_MOST = 8  # the old short one twice is no better than once
_TWICE_MOST = PASSWORD_LEAST - 1  # nor is one that would be too short by itself
_DIFFERENT_LEAST = 5  # characters
_WORD_MOST = 256  # no name and no address is longer; a client can send a megabyte
_WORD_LEAST = 3  # a shorter part of a name stands in too many phrases by chance
_OWN_LEAST = 8  # characters that have to be left when the words that anybody could guess are taken out
_ONLY_WORD_LEAST = 12  # letters of the one word there is beside digits
_DIGITS_FEW = 6  # a date has as many
_BESIDE_MOST = 3  # punctuation behind a word and its digits

# What lists of leaked passwords have of 15 characters and more, and phrases that are known to everybody.
_PHRASES = """
1q2w3e4r5t6y7u8i9o0p 1qaz2wsx3edc4rfv5tgb 1qazxsw23edcvfr4 a1b2c3d4e5f6g7h8 a1b2c3d4e5f6g7h8i9j0
abcd1234abcd1234 allforoneandoneforall alliswellthatendswell allswellthatendswell allyourbasearebelongtous
anappleadaykeepsthedoctoraway areyoukiddingme arsenalfootballclub barcelonafootballclub
battlestargalactica beammeupscotty beautifulgirl beautifulmind bestfriendsforever betterlatethannever
birdsofafeatherflocktogether callofdutymodernwarfare carpediemcarpediem chelseafootballclub
christianoronaldo correctbatteryhorsestaple correcthorsebatterystaple correcthorsestaplebattery
counterstrikeglobaloffensive cristianoronaldo curiositykilledthecat defaultpassword dontforgetthis
dontworrybehappy elementarymydearwatson everythinghappensforareason everythingisawesome finalfantasyviii
forgetmenotforgetmenot forgotmypassword fourscoreandsevenyearsago franklymydearidontgiveadamn
friendsforever gameofthrones gandalfthewhite godblessamerica goodmorningvietnam grandtheftauto
greatpassword heavymetalisthelaw helloworldhello herecomesthesun houstonwehaveaproblem howareyoutoday
icantremember idontknowmypassword iforgotmypassword ihatepasswords ihatethispassword
iknowwhatyoudidlastsummer ilovejesuschrist iloveyouforever iloveyousomuch
imgonnamakehimanofferhecantrefuse inthebeginninggodcreatedtheheavenandtheearth inthebeginningwastheword
itwasthebestoftimes itwasthebestoftimesitwastheworstoftimes jackandjillwentupthehill jesuschristislord
jesusismysavior justinbieber keepcalmandcarryon knowledgeispower leonardodavinci letmeinplease
liveandletdie livelaughlove liverpoolfootballclub longlivetheking longpassword lordoftherings
loremipsumdolorsitamet loveyouforever manchesterunited maryhadalittlelamb maytheforcebewithyou
michaeljackson mississippiriver mydoghasfleas myheartwillgoon mynameisbondjamesbond mypasswordissecret
mysecretpassword myverysecurepassword nevergonnagiveyouup neversaynever newpassword onceuponatime
onceuponatimethere onesmallstepforman passwordispassword pleaseletmein practicemakesperfect
rockandrollallnight romeoandjuliet rosesareredvioletsareblue secretpassword sevenwondersoftheworld
shesellsseashells silenceisgolden skywalkerluke somewhereovertherainbow stairwaytoheaven starwarsepisode
supercalifragilisticexpialidocious supersecretpassword thankyouverymuch
theanswertolifetheuniverseandeverything theearlybirdcatchestheworm thelordismyshepherd thequickbrownfox
thequickbrownfoxjumpsoverthelazydog theraininspain theraininspainstaysmainlyintheplain
thereisnoplacelikehome theresnoplacelikehome thisisapassword thisisasecurepassword thisisastrongpassword
thisisaverylongpassword thisisaverysecurepassword thisismypassword thisisnotapassword thisisnotmypassword
threeblindmice timeismoney tobeornottobe tobeornottobethatisthequestion tomorrowisanotherday
tottenhamhotspur twinkletwinklelittlestar unbelievable veryhardpassword verylongpassword
verysecretpassword verysecurepassword wearethechampions welcometothejungle whatdoesthefoxsay
whatisthepassword whatisyourname whatsthepassword whoisjohngalt winteriscoming
withgreatpowercomesgreatresponsibility wonderfulworld yabbadabbadoo yesterdayallmytroublesseemedsofaraway
youcanthandlethetruth yourpassword youshallnotpass
"""
_WELL_KNOWN = frozenset(_PHRASES.split())

# Words that say nothing by themselves, however many of them come together.
_EMPTY = """
password passwort passwd passphrase secret letmein welcome admin administrator iloveyou changeme default
login qwerty qwertz azerty monkey dragon football baseball superman sunshine princess master
"""
_CALENDAR = """
spring summer autumn winter january february march april june july august september october november december
monday tuesday wednesday thursday friday saturday sunday frühling sommer herbst januar februar märz juni juli
oktober dezember montag dienstag mittwoch donnerstag freitag samstag sonntag printemps automne hiver primavera
verano otoño invierno
"""
_EMPTY_WORDS = frozenset((_EMPTY + _CALENDAR).split())
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_SAME_AGAIN = re.compile(r"(.{1,20}?)\1+")  # a letter twice, and a word twice
_WORD_AGAIN = re.compile(r"(.{3,20}?)\1+")
_WORDS_AND_DIGITS = re.compile(r"[^\W\d_]+|\d+")

# Signs that stand for letters: anywhere, and digits between letters.
_SIGNS = str.maketrans("@$€", "ase")
_DIGITS_AS_LETTERS = str.maketrans("013457", "oieast")
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])[013457]+(?=[^\W\d_])")

_RUNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "123qweasdzxc",
    "zxcasdqwe123",
    "147258369",
    "741852963",
    "789456123",
    "159357",
    "йцукенгшщзхъфывапролджэячсмитьбю",
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
)
_RUN_LEAST = 4

# Keys side by side, for walks that change rows: `zaq1xsw2`, `1qazxsw2`.
_KEYBOARDS = (
    ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"),
    ("1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm"),
    ("1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"),
)


def _neighbours() -> Iterator[tuple[str, str]]:
    for rows in _KEYBOARDS:
        for row in rows:
            yield from pairwise(row)
        for above, below in pairwise(rows):  # each row lies half a key to the right of the one above
            yield from zip(above, below, strict=False)
            yield from zip(above[1:], below, strict=False)


_NEIGHBOURS = frozenset(pair for here, there in _neighbours() for pair in ((here, there), (there, here)))


def acceptable_password(password: str, *, words: Collection[str] = (), field: str = "password") -> str:
    """The password unchanged, or Invalid naming `field`: any Unicode, no rules of composition.

    `words` are what a guesser knows of the user and of the service: address, names.
    """
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        detail = (
            f"It must have {PASSWORD_LEAST} to {PASSWORD_MOST} characters; several words make a good one."
        )
        raise Invalid(detail, field=field)
    if _SURROGATE.search(password):
        raise Invalid("It must be valid Unicode text.", field=field)
    plain = _plain(password)
    folded = password.casefold()
    if len(set(folded)) < _DIFFERENT_LEAST or _has_a_short_period(folded) or _has_a_short_period(plain):
        raise Invalid("It must not repeat the same few characters over and over.", field=field)
    if _letters(plain) in _WELL_KNOWN or plain in _WELL_KNOWN:
        raise Invalid("It must not be one that everybody knows.", field=field)
    if len(_without_runs(plain) + _signs(folded)) < _OWN_LEAST <= len(plain):
        raise Invalid("It must not be a row of the alphabet, of digits or of the keyboard.", field=field)
    left = _without_words(plain, words)
    is_names = left != plain and len(left) < _OWN_LEAST
    if plain and (is_names or _is_tried(folded, words)):
        detail = "It must be more than your name, your address, the service's name and common words."
        raise Invalid(detail, field=field)
    return password


def _plain(text: str) -> str:
    """Its letters and digits in lower case; of a text without any (symbols, pictures) nothing."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if character.isalnum())


def _letters(plain: str) -> str:
    """Without the digits that people put before and behind what they were refused."""
    return plain.strip("0123456789")


def _has_a_short_period(text: str) -> bool:
    most = max(_PERIOD_MOST, min(_TWICE_MOST, len(text) // 2))
    return len(text) >= PASSWORD_LEAST and any(
        text[period:] == text[:-period] for period in range(1, most + 1)
    )


def _is_tried(folded: str, words: Collection[str]) -> bool:
    """Whether it is a common word, a name, a season, with a year, a row of digits, itself again.

    That is what guessers make long passwords of, with signs and digits in the place of letters.
    """
    signs = folded.translate(_SIGNS)
    letters = _BETWEEN_LETTERS.sub(lambda found: found[0].translate(_DIGITS_AS_LETTERS), signs)
    if any(len(_own(text, words)) < _OWN_LEAST for text in (folded, signs, letters)):
        return True
    return _is_a_word_with_digits(folded) or _is_a_word_with_digits(signs)


def _own(folded: str, words: Collection[str]) -> str:
    """What is left of it without all of that: each repetition counts once, and each sign among the rest."""
    plain = _plain(folded)
    own = _YEAR.sub("\0", _without_words(plain, words, gap="\0"))
    own = _without_runs(_SAME_AGAIN.sub(r"\1", own)).replace("\0", "")
    return own + _signs(folded)


def _signs(folded: str) -> str:
    """What is neither a letter nor a digit, each sign once, and no space."""
    return "".join({sign for sign in folded if not sign.isalnum() and not sign.isspace()})


def _is_a_word_with_digits(folded: str) -> bool:
    """Whether it is one word, which is not long, and digits that are few or easily guessed."""
    parts = _WORDS_AND_DIGITS.findall(_WORD_AGAIN.sub(r"\1", unicodedata.normalize("NFKC", folded)))
    words = {part for part in parts if not part.isdigit()}
    digits = "".join(part for part in parts if part.isdigit())
    if not digits or len(words) != 1 or len(folded) - len(_plain(folded)) > _BESIDE_MOST:
        return False
    (word,) = words
    return len(word) < _ONLY_WORD_LEAST and (
        len(digits) <= _DIGITS_FEW or len(_own(digits, ())) <= _RUN_LEAST
    )


def _without_runs(plain: str) -> str:
    """What is left of it between pieces of the alphabet, of digits or of a keyboard, in either direction."""
    left, at = "", 0
    while at < len(plain):
        length = max(*(_shared(plain[at:], run) for run in _both_ways()), _walked(plain, at))
        if length < _RUN_LEAST:
            left += plain[at]
            length = 1
        at += length
    return left


def _both_ways() -> Iterator[str]:
    for run in _RUNS:
        yield run
        yield run[::-1]


def _shared(text: str, run: str) -> int:
    """How many characters the text goes along with the run, from where it gets on."""
    start = run.find(text[0])
    if start < 0:
        return 0
    length = 0
    for here, there in zip(text, run[start:], strict=False):
        if here != there:
            break
        length += 1
    return length


def _walked(text: str, start: int) -> int:
    """How many characters from there on lie side by side on a keyboard."""
    end = start + 1
    while end < len(text) and (text[end - 1], text[end]) in _NEIGHBOURS:
        end += 1
    return end - start


def _without_words(plain: str, words: Collection[str], *, gap: str = "") -> str:
    guessable = {part for word in words for part in _parts(word)} | _EMPTY_WORDS
    for word in sorted(guessable, key=lambda word: (-len(word), word)):
        plain = plain.replace(word, gap)
    return plain


def _parts(word: str) -> Iterator[str]:
    """The word as a whole, and what stands in it between spaces and punctuation."""
    word = word[:_WORD_MOST]
    for part in (word, *re.split(r"[\W_]+", word)):
        plain = _plain(part)
        if len(plain) >= _WORD_LEAST:
            yield plain
