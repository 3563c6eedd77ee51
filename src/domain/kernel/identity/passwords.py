"""Which passwords are acceptable: long ones that are not the first that a guesser tries.

There are no rules of composition (NIST SP 800-63B-4 §3.1.1.2). Whatever is refused here is refused with its
letters' case, its spaces and its punctuation left out of account.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator

from domain.kernel.errors import Invalid

PASSWORD_LEAST = 15  # NIST SP 800-63B-4 §3.1.1.2, a password as the only factor
PASSWORD_MOST = 128  # bounds the work of hashing

_SURROGATE = re.compile("[\ud800-\udfff]")

_PERIOD_MOST = 8  # the old short one twice is no better than once
_DIFFERENT_LEAST = 5  # characters
_WORD_MOST = 256  # no name and no address is longer; whoever registers can write a megabyte
_WORD_LEAST = 3  # a shorter part of a name stands in too many phrases by chance
_OWN_LEAST = 8  # characters that have to be left when the words that anybody could guess are taken out

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
_EMPTY_WORDS = frozenset(_EMPTY.split())

_RUNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "йцукенгшщзхъфывапролджэячсмитьбю",
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
)
_RUN_LEAST = 4


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
    if len(_without_runs(plain)) < _OWN_LEAST <= len(plain):
        raise Invalid("It must not be a row of the alphabet, of digits or of the keyboard.", field=field)
    if plain and len(_without_words(plain, words)) < _OWN_LEAST:
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
    return len(text) >= PASSWORD_LEAST and any(
        text[period:] == text[:-period] for period in range(1, _PERIOD_MOST + 1)
    )


def _without_runs(plain: str) -> str:
    """What is left of it between pieces of the alphabet, of digits or of a keyboard, in either direction."""
    left, at = "", 0
    while at < len(plain):
        length = max((_shared(plain[at:], run) for run in _both_ways()), default=0)
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


def _without_words(plain: str, words: Collection[str]) -> str:
    guessable = {part for word in words for part in _parts(word)} | _EMPTY_WORDS
    for word in sorted(guessable, key=lambda word: (-len(word), word)):
        plain = plain.replace(word, "")
    return plain


def _parts(word: str) -> Iterator[str]:
    """The word as a whole, and what stands in it between spaces and punctuation."""
    word = word[:_WORD_MOST]
    for part in (word, *re.split(r"[\W_]+", word)):
        plain = _plain(part)
        if len(plain) >= _WORD_LEAST:
            yield plain
