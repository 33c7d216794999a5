"""General prose from a seeded grammar: genres are lists of steps, a step is a choice of sentences, slots are filled.

A slot is written [word]; a slot whose name ends in a digit, such as [who1] or [place2], keeps its filling throughout
the document. Fillings may hold slots themselves.
"""

import random
import re

_SLOT = re.compile(r"\[([a-z_]+)(\d?)\]")


class Writer:
    """Fills the slots of one document; one writer per document, since numbered slots are remembered."""

    def __init__(self, rng: random.Random, vocabulary: dict[str, tuple[str, ...]], names: tuple[str, ...]):
        self.rng = rng
        self.vocabulary = {**vocabulary, "who": names}
        self.bound: dict[str, str] = {}

    def write(self, genre: tuple[tuple[str, ...], ...]) -> str:
        """Return one document: a random alternative for every step of the genre, with the slots filled."""
        text = " ".join(self._fill(self.rng.choice(step)) for step in genre)
        text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
        return re.sub(r"(^\"?|[.?!] \"?|, \")([a-z])", lambda match: match[1] + match[2].upper(), text)

    def _fill(self, text: str) -> str:
        return _SLOT.sub(self._choose, text)

    def _choose(self, slot: re.Match) -> str:
        word, number = slot.groups()
        if number and word + number in self.bound:
            return self.bound[word + number]
        taken = {filling for key, filling in self.bound.items() if number and key[:-1] == word}
        filling = self._fill(self.rng.choice([c for c in self.vocabulary[word] if c not in taken]))
        if number:
            self.bound[word + number] = filling
        return filling


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in " ".join(text.split()).split("/"))


VOCABULARY = {
    "adj": _words("""
        old / narrow / quiet / crooked / bright / dusty / forgotten / plain / handsome / shabby / tall / tiny
        / peculiar / solid / faded / cheerful / gloomy / well-kept / draughty / famous / modest / splendid /
        lonely
    """),
    "building": _words("""
        mill / church / warehouse / post office / inn / library / town hall / bakery / cinema / railway
        station / boathouse / school / lighthouse / monastery / factory / hotel / farmhouse / chapel /
        barracks / theatre
    """),
    "land": _words("""
        a valley / a marsh / a pine forest / a stony beach / a wide plain / an orchard / a steep hillside / a
        heath / a gravel pit / a lake / a ravine / a vineyard / a field of barley / a birch wood / a line of
        dunes
    """),
    "water": _words("""
        the river / the canal / the harbour / the lake / the estuary / the mill stream / the bay / the
        reservoir / the brook / the pond
    """),
    "weather": _words("""
        a thin rain / a dry east wind / thick fog / bright sunshine / wet snow / a warm haze / a hard frost /
        a low grey sky / a sudden gale / light drizzle / a clear cold night / heavy showers / a still heat / a
        dull mist
    """),
    "sky": _words("""
        the clouds hung low over [water] / the sun stood high above the roofs / the wind blew from the sea /
        the first stars came out / a thin moon rose behind the hills / the rain drummed on the tin roofs /
        frost lay on the fields / the fog would not lift / swallows were flying low / the snow had begun to
        melt
    """),
    "season": _words("spring / summer / autumn / winter"),
    "month": _words("""
        January / February / March / April / May / June / July / August / September / October / November /
        December
    """),
    "day": _words("Monday / Tuesday / Wednesday / Thursday / Friday / Saturday / Sunday"),
    "daytime": _words("""
        at dawn / before breakfast / towards noon / in the early afternoon / at dusk / late in the evening /
        shortly after midnight / in the small hours / at half past three / around six o'clock
    """),
    "number": _words("""
        two / three / four / five / six / seven / eight / nine / ten / twelve / fifteen / twenty / thirty /
        forty
    """),
    "few": _words("two / three / four / five / six / seven / eight / nine / ten"),
    "smell": _words("""
        tar / coffee / wet wool / fresh bread / tobacco / seaweed / floor polish / old paper / apples / coal
        smoke / warm hay / fish / paint / soap / candle wax / wood shavings
    """),
    "person": _words("""
        the baker / the ferryman / a tall stranger / the postmistress / an old sailor / the schoolteacher / a
        young mechanic / the night nurse / a travelling salesman / the innkeeper / a girl with a red umbrella
        / the organist / a retired judge / the stationmaster / a boy on a bicycle / the widow from the corner
        / a painter / a soldier on leave / the librarian / the doctor
    """),
    "one": _words("""
        the baker / the ferryman / the postmistress / an old sailor / the schoolteacher / a young mechanic /
        the night nurse / a travelling salesman / the innkeeper / the organist / a retired judge / the
        stationmaster / a painter / the librarian / the doctor / a carpenter / the milkman / the chimney sweep
        / a shepherd
    """),
    "animal": _words("""
        a grey cat / a lame dog / a lost lamb / an owl / a stray horse / a fox / a heron / a large dog / a
        hedgehog / a young swan / a black goat / a mouse / a blackbird / a hare / a magpie
    """),
    "thing": _words("""
        a broken umbrella / a bundle of letters / a rusty key / a bag of apples / a silver spoon / a torn map
        / a wooden box / a wet glove / a basket of eggs / a clock without hands / a small brass bell / a jar
        of honey / a pair of boots / a faded photograph / a coil of rope / a blue envelope / a tin of paint /
        a music stand / a lamp with no shade / an accordion / a sack of flour / a pocket knife
    """),
    "goods": _words("""
        apples / onions / wool socks / candles / fresh bread / smoked fish / copper pots / second-hand books /
        tulip bulbs / goat cheese / wooden spoons / walnuts / honey / rubber boots / baskets / cabbages /
        plums / lace / old coins / ribbons / pickled cucumbers / brooms
    """),
    "food": _words("""
        bread and cheese / a bowl of soup / cold potatoes / a plate of dumplings / an apple and a boiled egg /
        fried fish / a slice of plum cake / porridge with honey / beans on toast / hot chestnuts / a piece of
        ham
    """),
    "feeling": _words("""
        tired but content / a little ashamed / strangely happy / cold to the bone / too angry to speak /
        relieved / more puzzled than before / hungry as a wolf / quite calm / wide awake / rather proud /
        close to tears
    """),
    "manner": _words("""
        slowly / without a word / in great haste / with a sigh / carefully / almost cheerfully / rather
        stiffly / half asleep / with a bow / in a whisper / reluctantly / politely / against all advice
    """),
    "verb_went": _words("walked / hurried / cycled / drove / wandered / limped / strolled / rode / crept / marched"),
    "vehicle": _words("""
        the night train / the number nine bus / the morning ferry / the mail van / the last coach / the slow
        train / the post boat / a hired car / the early tram / the paddle steamer / the milk lorry
    """),
    "place": _words("""
        the market square / the station / the old bridge / the harbour wall / the churchyard / the waterworks
        / the corner shop / the edge of the wood / the customs house / the allotments / the quarry / the tram
        depot / the bandstand / the cattle market / the ferry landing / the village green
    """),
    "town": _words("""
        Aldermere / Brockhampton / Casterly / Dornwick / Eastling / Fairburn / Glenshore / Hexley / Inverlay /
        Kestonbury / Langmoor / Marlby / Netherfold / Osmington / Port Hale / Rushcombe / Silverdale /
        Thornaby / Upwell / Windle
    """),
    "event": _words("""
        the flower show / the autumn fair / a charity concert / the regatta / the opening of the new bridge /
        a public meeting / the school play / the annual cattle sale / the lantern parade / a brass band
        contest / the bicycle race / a lecture on bees
    """),
    "problem": _words("""
        a burst pipe / a fallen tree / a strike of the tram drivers / a power cut / a swarm of wasps / a
        missing key / a leak in the roof / a landslide / a double booking / a lost parcel / thick fog on the
        coast road / a hole in the road
    """),
    "saying": _words("""
        you never know / better late than never / it could have been worse / nobody asked us / there is always
        tomorrow / that is how it goes / one must not complain / the kettle is on / all roads lead home / it
        will pass
    """),
    "question": _words("""
        where have you been / who left the gate open / is there any bread left / have you seen my glasses / do
        you believe in ghosts / what is in that box / when does the last bus go / why are you whispering / who
        paid for all this / can you keep a secret / how far is it to the station / what shall we do now
    """),
    "reply": _words("""
        I was hoping you would know / ask me again tomorrow / not far from here / nobody told me / that is a
        long story / it was like that when I came / only if you insist / I have no idea / in the kitchen, as
        always / you would not believe it / as far as your legs will carry you / the usual thing / let us sit
        down first
    """),
    "said": _words("said / replied / whispered / muttered / answered / shouted / laughed"),
    "vegetable": _words("""
        carrots / leeks / turnips / potatoes / onions / mushrooms / parsnips / courgettes / tomatoes / swedes
        / beetroots
    """),
    "meat": _words("bacon / chicken / smoked sausage / lamb / minced beef / white fish / a ham bone"),
    "herb": _words("thyme / parsley / bay leaf / dill / sage / rosemary / black pepper / nutmeg / paprika / chives"),
    "fruit": _words("""
        apples / pears / plums / cherries / raspberries / gooseberries / apricots / blackcurrants / rhubarb
    """),
    "vessel": _words("a heavy pan / a deep bowl / an iron pot / a buttered dish / a clean jar / a large saucepan"),
    "time": _words("""
        five minutes / ten minutes / a quarter of an hour / twenty minutes / half an hour / an hour / two
        hours
    """),
    "tool": _words("""
        a sharp knife / a soft brush / a damp cloth / a small hammer / a screwdriver / a pair of pliers / fine
        sandpaper / a wooden spoon / a length of wire / a bucket of warm water / an old toothbrush
    """),
    "object": _words("""
        the bicycle chain / a squeaking door / a dull knife / a wooden chair / leather boots / a brass lamp /
        the garden gate / a stuck drawer / a dripping tap / the kitchen stove / a rusty lock / a wicker basket
    """),
    "reason": _words("""
        because the road was flooded / since nobody had the key / for want of money / to everyone's surprise /
        although it had been forbidden / in spite of the cold / by mistake / for the third time that year / as
        if nothing had happened / just for the pleasure of it
    """),
    "result": _words("""
        and nobody was hurt / and the matter was soon forgotten / so the shops closed early / and the bells
        rang / which caused much laughter / and the mayor apologised / so the children were sent home / and a
        collection was taken / but the damage was small / and work goes on
    """),
    "subject": _words("""
        the price of coal / the new timetable / a lost ring / the history of the lighthouse / the council's
        plans / bad handwriting / the football scores / an uncle in America / the best way to boil an egg /
        the war / a haunted mill / last winter's flood
    """),
    "colour": _words("red / green / pale blue / yellow / white / brown / grey / dark blue / black / orange"),
    "material": _words("brick / timber / grey stone / corrugated iron / red clay / concrete / slate / glass"),
    "craftwork": _words("""
        mended nets / sharpened knives / sorted letters / painted signs / counted sheep / repaired clocks /
        baked rolls / bound books / sold tickets / polished lenses / carried coal / copied maps
    """),
}

_DESCRIPTION = (
    (
        "The [adj] [building] stands where the road from [town1] meets [land].",
        "Between [place1] and [water] there is [land], and behind it a [adj] [building].",
        "[town1] is a [adj] town on [water], known for its [goods].",
        "Nobody remembers who built the [adj] [building] beside [water].",
        "If you come to [town1] by [vehicle], the first thing you see is the [adj] [building].",
        "There are [number] streets in [town1], and all of them lead to [place1].",
    ),
    (
        "It was put up in [number] months, of [material] and [material], [reason].",
        "Its walls are of [material], its doors are painted [colour], and its windows look out on [land].",
        "In [season] the whole place smells of [smell] and of [smell].",
        "For [number] generations the people here [craftwork] and asked for nothing more.",
        "On [day]s the square is full of stalls with [goods], [goods] and [goods].",
    ),
    (
        "Visitors come in [month], when [sky], and most of them stay no longer than a day.",
        "[daytime] you may meet [person] there, talking to nobody in particular about [subject].",
        "The roof has been repaired [number] times, and still it leaks whenever there is [weather].",
        "Sometimes [animal] can be seen near [place1], especially when there is [weather].",
        "Some say that [thing] was found under the floor; others say that it was only [thing].",
    ),
    (
        "Today it is used as a [building], and few people stop to look.",
        "Whoever has lived there once will not be happy anywhere else, or so they say.",
        "In the guidebook it gets [number] lines, which seems fair.",
        "The last owner left it to the town, which does not know what to do with it.",
        "A bench has been placed in front of it, and from there one can watch [water] all day.",
        "There are plans to pull it down, but there have been plans for [number] years.",
    ),
)

_WEATHER = (
    (
        "After days of [weather1], [day1] brought [weather2].",
        "The [season] began with [weather1] and ended, as so often, with [weather2].",
        "[month1] was the wettest for [number] years, and [sky].",
        "On [day1] we woke to [weather].",
        "The forecast for [town1] speaks of [weather1] until [day1], then [weather2].",
        "Nobody had expected [weather] so late in [month1].",
    ),
    (
        "By noon [sky], and [person] was seen carrying [thing] home.",
        "[sky], and on [water] nothing moved except [animal].",
        "The farmers were pleased, the fishermen were not, and the children asked for more.",
        "In the gardens the washing hung stiff on the line, and [animal] sat under the hedge.",
        "The road to [town2] was closed [reason], and the buses stood in a row at [place1].",
        "Inland it stayed dry, while along the coast [weather] came and went.",
    ),
    (
        "In the evening [weather] set in, and the lamps were lit early.",
        "Old people said that they had seen worse, in the year of the great flood.",
        "Those who had to go out wore two coats and walked close to the walls.",
        "[one] measured the rain in a bucket and wrote the figure on the wall.",
        "Then it changed, and within an hour [sky].",
    ),
    (
        "More of the same is expected for the rest of the week.",
        "For tomorrow the radio promises [weather], but nobody believes it.",
        "By [day2] it was all over, and we talked about [subject] again.",
        "It is best to keep the windows shut and some dry wood by the stove.",
        "After that the [season] was as mild as anyone could wish.",
    ),
)

_STORY = (
    (
        "[daytime] [who1] [verb_went] to [place1] with [thing1].",
        "Once, in [month], [who1] found [thing1] on the way to [place1].",
        "[who1] had been waiting at [place1] for [time] when [person] came along.",
        "It was [day], and [sky], when [who1] knocked at the door of the [adj] [building].",
        "In [town1] there once lived somebody called [who1], who [craftwork] for a living.",
        "[who1] and [who2] had not spoken for [number] years, [reason].",
        "There was once [person] who owned nothing in the world but [thing1].",
    ),
    (
        "[weather] had kept everyone indoors, and the street was empty but for [animal].",
        "On the steps sat [animal], as if it had been expecting company.",
        "\"[question]?\" asked [person], and [manner] looked away.",
        "Nobody else was about, except [person] with [thing].",
        "The door was open, and on the table lay [thing] and [food].",
        "From inside came the sound of someone who [manner] tuned a violin.",
    ),
    (
        "\"[question]?\" asked [who1]. \"[reply],\" [said] [who2].",
        "\"[reply],\" said [who1]. \"And besides, [saying].\"",
        "[who2] put down [thing] and said [manner], \"[reply].\"",
        "\"[question]?\" [who1] wanted to know. Nobody answered.",
        "\"[saying],\" said [who2] [manner]. \"[question]?\"",
        "They talked about [subject] and shared [food], and the time went by.",
        "[who1] told [who2] about [subject], and left nothing out.",
    ),
    (
        "Then something happened that neither had foreseen: [animal] came in and lay down by the stove.",
        "All at once the rain came down, and they had to run for [place2].",
        "In the end [who2] took [thing] out of a bag and laid it on the wall.",
        "Without another word they [verb_went] down to [water], where [person] was waiting.",
        "It turned out that [thing] had been there all the time, under [thing].",
        "So they exchanged [thing] for [thing], shook hands, and laughed.",
    ),
    (
        "When [who1] came home, [feeling], the clock struck [few].",
        "After that day [who1] never again asked about [subject].",
        "[who2] still tells the tale each [season], and every time it grows a little longer.",
        "\"[saying],\" said [who2], and that was the end of it.",
        "They parted at [place2], [feeling], and [sky].",
        "And if nobody has moved it, it is lying there to this day.",
        "That night [who1] lay awake, [feeling], and listened to the wind.",
    ),
)

_RECIPE = (
    (
        "For this dish you need plenty of [vegetable1], some [meat] and a little [herb1].",
        "A simple supper for cold evenings: [vegetable1] with [herb1].",
        "Here is how my grandmother made [vegetable1] with [meat].",
        "To make enough soup for [number] people, begin with the [vegetable1].",
        "This is the recipe that [one] from [town1] gave me, written on the back of an envelope.",
    ),
    (
        "Peel and chop the [vegetable1], then fry them in butter for [time], stirring all the while.",
        "Wash the [vegetable1], cut them into thick slices and lay them in [vessel].",
        "Put the [vegetable1] in [vessel] with cold water and bring it to the boil [manner].",
        "Melt some butter in [vessel], add the [vegetable1] and cover with a lid for [time].",
    ),
    (
        "Add [meat] and [herb1], and let everything simmer for [time].",
        "Stir in a spoonful of flour, pour on the stock, and season with [herb1] and salt.",
        "Meanwhile beat [few] eggs with cream and grate some cheese into it.",
        "In another pan brown the [meat], and do not be afraid of a little smoke.",
    ),
    (
        "Take it off the heat, taste it, and add more [herb1] if it seems dull.",
        "Bake it in a hot oven for [time], until the top is golden.",
        "If it is too thin, let it boil a while longer; if it is too thick, add a cup of milk.",
        "Leave it to rest for [time], however hungry the guests may be.",
    ),
    (
        "Serve with dark bread and [herb2].",
        "It tastes even better on the following day.",
        "For a sweet ending, stew some [fruit] with sugar and a strip of lemon peel.",
        "Leftovers make a good filling for a pie.",
        "Children like it with [fruit]; grown-ups prefer it with mustard.",
    ),
)

_HOWTO = (
    (
        "How to clean [object1] without spoiling it.",
        "Anyone can repair [object1] with [tool1] and a little patience.",
        "Before you throw away [object1], try the following.",
        "A reader from [town1] asks what can be done about [object1].",
        "Some advice on the care of [object1], learned the hard way.",
    ),
    (
        "First, spread newspaper on the floor and lay out what you need: [tool1], [tool2] and a cup of vinegar.",
        "Begin by taking everything apart, and put the screws in a saucer so that none gets lost.",
        "Start in one corner with [tool1], and do not press too hard.",
        "The secret is to work in good light and to keep [tool1] at hand.",
    ),
    (
        "Then rub it down with [tool2], always in the same direction, for about [time].",
        "Next, apply a few drops of oil and wait for [time] before you touch it again.",
        "After that, wipe it down with cold water and let it dry for [time], but not in the sun.",
        "If it still will not move, warm it gently and try once more with [tool2].",
    ),
    (
        "Never use soap, and never lend the finished piece to a neighbour.",
        "Should something break, do not despair: a bit of wire has saved many an afternoon.",
        "Wipe away what is left over, and check the result [daytime].",
        "Repeat this every [season], or whenever there has been [weather].",
    ),
    (
        "Done well, it will last for another [number] years.",
        "The whole job takes [time] and costs next to nothing.",
        "And remember to wash your hands before supper.",
        "If all else fails, ask [one].",
    ),
)

_LETTER = (
    (
        "Dear [who1], thank you for your letter, which arrived on [day].",
        "Dear [who1], I am writing this on [vehicle] somewhere beyond [town1].",
        "My dear [who1], you ask how we are getting on in [town1].",
        "Dear [who1], forgive me for not writing sooner.",
        "Dear Sir or Madam, I wish to complain about [problem] at [place1].",
    ),
    (
        "Here we have had nothing but [weather], and [sky].",
        "Since [month] I have been living in a [adj] room above the [building], with a view of [land].",
        "Last week there was [problem], [result].",
        "Yesterday I met [person] at [place1], and we talked for [time] about [subject].",
        "The journey took [few] hours, [reason], and I arrived [feeling].",
    ),
    (
        "You will laugh when you hear that [who2] has bought [thing].",
        "The food is good, mostly [food], and in the evenings somebody plays the piano.",
        "[who2] sends greetings and would like to know when you are coming.",
        "I enclose [thing], which you may keep, and [thing], which you must give back.",
        "Do you remember [person] from [town2]? I saw them at [event], and they asked after you.",
        "There is talk of [event] in [month], but so far nothing has been decided.",
    ),
    (
        "Please feed the cat while I am away, and do not forget to lock the shed.",
        "I miss our walks to [place2] more than I can say.",
        "If you can spare it, send me some [goods] and a warm blanket.",
        "It is late, the lamp is smoking, and I must close.",
        "Let me know by [day] whether this suits you.",
    ),
    (
        "With love, [who3].",
        "Yours sincerely, [who3].",
        "Write soon. Your old friend, [who3].",
        "Until then, all good wishes, [who3].",
        "Yours in haste, [who3].",
    ),
)

_NEWS = (
    (
        "[town1], [day]. [event] had to be postponed because of [problem].",
        "There was excitement in [town1] on [day] when [animal] was found in the [building].",
        "Some [number] people attended [event] in [town1] last [day].",
        "The council of [town1] has decided to repair the [adj] [building] near [place1].",
        "A fire at the [building] in [town1] was put out [daytime] by [one].",
        "[problem] brought traffic in [town1] to a halt on [day].",
    ),
    (
        "According to [one], it began [daytime], [reason].",
        "A spokesman said that the cost would come to [number] thousand pounds.",
        "\"[saying],\" said [who1], who has lived nearby for [number] years.",
        "Several witnesses reported seeing [person] with [thing].",
        "The police were called, [result].",
    ),
    (
        "Prizes went to [who1] for the best [goods] and to [who2] for [thing].",
        "It is the [adj] town's third such case since [month].",
        "Meanwhile the shops near [place1] report brisk sales of [goods].",
        "[who2], of the historical society, spoke at length about [subject].",
        "The younger visitors, however, were more interested in [animal].",
    ),
    (
        "The [building] will remain closed until [day], and letters can be collected at [place2].",
        "A second meeting is planned for [month], if the weather allows.",
        "Whoever has lost [thing] may ask for it at the [building].",
        "Tickets for next year are already on sale at [place2].",
        "The mayor thanked all the helpers and promised hot soup for everyone.",
    ),
)

_JOURNEY = (
    (
        "We left [town1] [daytime] by [vehicle], with [thing] and enough to eat for a day.",
        "The road from [town1] to [town2] follows [water] for [number] miles.",
        "It takes [few] hours to get from [town1] to [town2], and longer in [season].",
        "On the third day of the walk [who1] and I came to [land].",
        "In [month] I crossed the country by [vehicle], [reason].",
    ),
    (
        "At first there was only [land], then [land], and here and there a [adj] [building].",
        "[sky], and the other passengers talked about [subject] or slept.",
        "Opposite me sat [person], holding [thing] [manner].",
        "Every few miles we stopped to let [animal] cross the track.",
        "Beyond the last houses the path climbs steeply towards [land].",
    ),
    (
        "Near [town2] we were held up for [time] by [problem].",
        "When we asked the way, [one] pointed [manner] at [place1] and said, \"[reply].\"",
        "At noon we rested under a tree, ate [food], and watched [animal].",
        "I had to change at [town3], where the waiting room was full of [goods].",
        "Then came [weather], and we took shelter in a [adj] [building].",
    ),
    (
        "We arrived [daytime], [feeling].",
        "By evening [town2] lay before us, with its [adj] [building] and its lights.",
        "I would make the same journey again tomorrow, but not by [vehicle].",
        "The inn was full, so we slept in the [building] and left [daytime].",
        "Of all that I saw on the way, I remember best [animal] in the middle of the road.",
    ),
)

_MARKET = (
    (
        "On [day]s there is a market at [place1], and people come from as far as [town1].",
        "[daytime] the first carts roll up to [place1], loaded with [goods] and [goods].",
        "The market in [town1] is older than the [building], and much louder.",
        "I go to the market for [goods1] and come back with [goods2].",
    ),
    (
        "On the left they sell [goods], on the right [goods], and in the middle [one] plays the accordion.",
        "A pound of [goods1] costs as much as a basket of [goods2], and nobody can say why.",
        "[one] cries out the prices, [person] pretends not to hear.",
        "There is a stall with nothing but [goods] and another with [thing] and [thing].",
    ),
    (
        "\"[question]?\" asks [person]. \"[reply],\" says [one].",
        "\"Fresh this morning,\" says [who1], who says so every week.",
        "Under the tables [animal] waits for something to fall.",
        "Those who come late pay half, but must be content with [goods].",
        "You may taste the [goods], you may smell the [goods], but you had better not touch the [goods].",
    ),
    (
        "By two o'clock it is over, and only [animal] and some [colour] paper remain.",
        "When there is [weather], they pack up early and drink tea in the [building].",
        "At the end [who1] sweeps the stones and counts the money [manner].",
        "I have never yet gone home without [thing] that I did not need.",
    ),
)

_WORKDAY = (
    (
        "[who1] [craftwork] for a living, not far from [place1], as an uncle had done before.",
        "The day at the [building] begins [daytime], whatever the weather.",
        "In those days [number] men and women worked at the [building] in [town1].",
        "For [number] years [one] has kept the [building] in [town1] open, summer and winter.",
    ),
    (
        "There was always [problem] to deal with, and seldom enough [food] to go round.",
        "The benches were of [material], the lamps hung low, and it smelled of [smell].",
        "First the floor is swept, then the stove is lit, and then somebody tells a joke about [subject].",
        "Orders came by [vehicle] from [town2], and they were always urgent.",
        "[who2] kept the books, made the tea, and [manner] corrected everybody's spelling.",
    ),
    (
        "\"[saying],\" [who2] used to say, and put [thing] on the shelf.",
        "At noon they sat on the wall above [water], ate [food], and argued about [subject].",
        "One [day] in [month] a customer brought in [thing] and asked, \"[question]?\"",
        "Mistakes were paid for with [goods], to be delivered on [day].",
    ),
    (
        "Nowadays machines do the same in [time], though not so well.",
        "At closing time the key was hung behind the clock, and everyone went home [feeling].",
        "When the firm moved to [town3], only [one] stayed behind.",
        "It was not a bad life, all things considered.",
        "To this day the sign hangs there, [colour] letters on [material].",
    ),
)

_THOUGHT = (
    (
        "Some people collect [goods]; others cannot pass [place1] without thinking of [subject].",
        "There are two sorts of [season]: the one in books and the one with [weather].",
        "Why do we always look for [thing] in the place where it cannot be?",
        "It is a mistake to believe that [goods] were better in the old days.",
        "What does one really need? Perhaps [food], perhaps [thing], certainly a door that shuts.",
        "I have often wondered about [subject].",
    ),
    (
        "My neighbour, who has [craftwork] all year round, holds the opposite view.",
        "If [one] is to be believed, it all comes down to [subject].",
        "A friend of mine once walked [number] miles in [weather] to settle the question.",
        "At the [building] in [town1] they have a saying: [saying].",
        "Take [animal], for instance, which knows nothing of [subject] and sleeps well.",
    ),
    (
        "On the other hand, [sky], and that changes everything.",
        "Nobody would deny that a [adj] [building] is better than none.",
        "There is something to be said for silence, too, above all [daytime].",
        "But try to explain that to [person] with [thing] under one arm.",
        "The more I think about it, the less I understand.",
    ),
    (
        "Still, [saying].",
        "That is why I keep [thing] by the door and say no more.",
        "Perhaps the answer lies somewhere between [town1] and [town2].",
        "In the end each of us [verb_went] home [manner], and nobody had been persuaded.",
        "I shall return to the question in [month].",
    ),
)

GENRES = (
    _DESCRIPTION, _WEATHER, _STORY, _STORY, _RECIPE, _HOWTO, _LETTER, _NEWS, _JOURNEY, _MARKET, _WORKDAY, _THOUGHT,
)
