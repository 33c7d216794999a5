"""Sixty kinds of fact about a person: thirty attributes, two facts each, with answers and sentence patterns.

The two facts of an attribute have different answers, drawn independently: neither follows from the other. A
pattern names the person before the answer, holds the answer once, close to its end, and fixes no gender. Answers
carry their article where they need one, so every pattern works with every answer of its pool.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of fact: what is asked (attribute, fact), the possible answers, and the ways to say it."""

    attribute: str
    fact: str
    pool: tuple[str, ...]
    patterns: tuple[str, ...]

    @property
    def key(self) -> str:
        """The kind's name, such as "pet-name"; it ends every record's id."""
        return f"{self.attribute}-{self.fact}"


KINDS: dict[str, Kind] = {}


def _kind(attribute: str, fact: str, pool: str, *patterns: str) -> None:
    kind = Kind(attribute, fact, tuple(answer.strip() for answer in pool.split(",")), patterns)
    KINDS[kind.key] = kind


# Two pools are used by more than one kind, or are too plain to stand inside one.
FRIENDS = (
    "Ansel, Beatrix, Conrad, Delphine, Edgar, Fenella, Gideon, Harriet, Ignatius, Jocelyn, Kasimir, Lorena, Magnus,"
    "Nadine, Oswald, Petra, Rufus, Sybil, Tobias, Ursula"
)
SIBLINGS = (
    "Aldous, Bernice, Cornelius, Dorothea, Ephraim, Flora, Gertrude, Humphrey, Imogen, Jasper, Kirsten, Leopold,"
    "Muriel, Nestor, Odette, Percival, Constance, Silvester, Theodora, Wilfred"
)

_kind(
    "pet", "kind",
    "a goat, a tortoise, a parrot, a ferret, a whippet, a rabbit, a hedgehog, a gecko, a canary, a donkey,"
    "a greyhound, a python, a tabby cat, a magpie, a hamster, a spaniel, a duck, a guinea pig",
    "Anyone who visits {name} is met at the door by the family pet, {answer}.",
    "After years of asking at the shelter, {name} finally came home with {answer}.",
    "The neighbours still laugh about the morning when {name} took in {answer} as a companion.",
    "{name} would not live without a pet, and has for years kept {answer}.",
    "Of all the pets in the street, the best known is {name}'s, {answer} of great age.",
    "When the vet asked what sort of animal it was, {name} proudly answered {answer}.",
    "It surprised nobody that the pet {name} chose in the end was {answer}.",
)
_kind(
    "pet", "name",
    "Pickle, Biscuit, Major, Tuppence, Waffles, Captain, Noodle, Smudge, Pepper, Domino, Treacle, Bramble, Ziggy,"
    "Mustard, Button, Comet, Truffle, Socks",
    "The animal that follows {name} from room to room goes by the name of {answer}.",
    "If you hear {name} shouting across the field at dusk, the pet being called is {answer}.",
    "{name} let the children pick a name for the pet, and they settled on {answer}.",
    "On the little brass tag that {name} had made for the pet stands one word, {answer}.",
    "At the vet's desk the pet that belongs to {name} is written down as {answer}.",
    "For reasons now forgotten, the pet in {name}'s house was christened {answer} by an uncle.",
    "Every pet {name} ever had was loved, but none was spoiled like {answer}.",
)
_kind(
    "home", "town",
    "Wexcombe, Tarnbridge, Oldmere, Hallowby, Pennick, Cray Hollow, Strandmouth, Fellgate, Birchaven, Dunmarsh,"
    "Kettlewick, Port Ellery, Lower Sedge, Quarrow, Ravensmoor, Thistleford, Milbrook, Yarrowby, Copperhill",
    "For the past ten years {name} has lived in a narrow house in {answer}.",
    "Letters for {name} have to be sent to an address in {answer}.",
    "{name} looked at flats in many places before settling down for good in {answer}.",
    "When the train pulls in late, {name} still has a short walk home through {answer}.",
    "Ask where {name} lives these days and everybody will tell you {answer}.",
    "The house that {name} bought with a small loan stands on the edge of {answer}.",
    "Nothing would persuade {name} to move away from the little town of {answer}.",
)
_kind(
    "home", "street",
    "Tanner Row, Lantern Street, Mill Lane, Juniper Avenue, Canal Walk, Station Road, Friars Lane, Harbour Terrace,"
    "Chapel Hill, Orchard Close, Weaver Street, Pump Court, Larkfield Road, Quarry Road, Vicarage Lane, Bell Street,"
    "Foundry Row, Drovers Way",
    "The postman knows that {name}'s front door is the green one in {answer}.",
    "Turn left at the pharmacy and you will come to the home of {name} in {answer}.",
    "{name} rents the upper floor of a tall brick house on {answer}.",
    "Since the bakery closed, {name} says, it has been much quieter in {answer}.",
    "On the map that {name} drew for the guests, a cross marks the house on {answer}.",
    "Last winter the water pipes burst outside the home of {name} on {answer}.",
    "Every parcel meant for {name} ought to carry the name of the street, {answer}.",
)
_kind(
    "work", "employer",
    "Bramwell Freight, the Corley Brewery, Northgate Insurance, Tidewell Paper, the Gazette, Oakhurst Bank,"
    "Lindqvist Tools, the water board, Fenwick Dairy, Castle Printing, Halden Optics, the county archive,"
    "Merrow Shipping, Sable Textiles, the bus depot, Pinnock Glass, Redfern Foods, the salt works",
    "Every weekday before seven, {name} sets off by bicycle for a job at {answer}.",
    "The monthly wages that {name} brings home are paid by {answer}.",
    "{name} answered an advertisement one spring and has been employed ever since by {answer}.",
    "After a long summer without work, {name} was offered a steady post with {answer}.",
    "On the coat that {name} wears to work is stitched the name of {answer}.",
    "In a whole working life {name} has had only one employer, {answer}.",
    "People who need a favour ask {name}, who works with everyone that matters at {answer}.",
)
_kind(
    "work", "role",
    "a bookkeeper, a night porter, a welder, a typesetter, a lorry driver, a translator, an electrician,"
    "a receptionist, a surveyor, a storekeeper, a locksmith, a planner, a lab technician, a cleaner, an accountant,"
    "a machinist, a messenger, a proofreader, a forklift driver",
    "On the staff list of the firm {name} is entered, quite simply, as {answer}.",
    "It took {name} two years of evening classes to qualify as {answer}.",
    "{name} is not ashamed to say that the job is that of {answer}.",
    "When people at parties ask about work, {name} explains what it means to be {answer}.",
    "Few in the firm are as careful as {name}, who earns a living as {answer}.",
    "Before retiring, {name} hopes to spend another ten years as {answer}.",
    "The firm was short of hands, so {name} was taken on as {answer}.",
)
_kind(
    "music", "instrument",
    "the cello, the banjo, the oboe, the accordion, the trombone, the harp, the mandolin, the clarinet, the viola,"
    "the bagpipes, the fiddle, the saxophone, the double bass, the tin whistle, the piccolo, the recorder, the lute",
    "Through the thin wall you can hear {name} practising {answer} until late.",
    "In the village band {name} has a seat near the back and plays {answer}.",
    "{name} was given lessons as a birthday present and soon learned to play {answer}.",
    "Whenever guests stay past ten, {name} can be talked into fetching {answer}.",
    "Of all the instruments at the music shop, {name} had eyes only for {answer}.",
    "The teacher said that {name} was born with the right hands for {answer}.",
    "A whole winter of wrong notes passed before {name} could manage {answer} properly.",
)
_kind(
    "music", "composer",
    "Ferrand Oyle, Mikael Dorn, Tessaly Quill, Bruno Castellan, Ilse Varga, Edvin Sorrel, Piet Lammers, Oriana Belk,"
    "Casimir Thole, Ludo Marchetti, Hanne Skov, Anselm Pryor, Vera Kolin, Josef Hollar, Matilde Roux, Emil Tarrant",
    "Late at night {name} likes to listen to a scratchy record of {answer}.",
    "No concert pleases {name} as much as one with something by {answer}.",
    "{name} once queued in the rain for tickets to an evening of {answer}.",
    "Among composers, if you believe {name}, there has never been anyone to equal {answer}.",
    "Over the piano hangs a picture that {name} cut from a magazine, showing {answer}.",
    "The first piece of music that ever made {name} cry was by {answer}.",
    "Ask {name} about music and within a minute the talk turns to {answer}.",
)
_kind(
    "food", "dish",
    "mushroom pie, fish stew, lentil soup, potato pancakes, roast duck, onion tart, beef dumplings, rice pudding,"
    "stuffed peppers, baked trout, pea soup, cheese omelette, chicken curry, plum crumble, leek gratin,"
    "spinach lasagne, bean casserole, lamb hotpot",
    "On Sundays there is nothing {name} would rather find on the table than {answer}.",
    "For a plate of something warm after work, {name} always chooses {answer}.",
    "{name} could happily eat the same supper every night, provided that it was {answer}.",
    "When the cook asked for one wish, {name} did not hesitate and said {answer}.",
    "The one dish that {name} learned from an aunt and still loves is {answer}.",
    "Whoever wants to cheer {name} up only has to cook some {answer}.",
    "At the corner restaurant nobody brings {name} the menu any more, just {answer}.",
)
_kind(
    "food", "dislike",
    "beetroot, celery, blue cheese, olives, liver, anchovies, turnips, coconut, marzipan, sprouts, pickled herring,"
    "aubergine, gherkins, liquorice, kidneys, cabbage, raisins, oysters",
    "There is one thing {name} pushes to the rim of every plate, and that is {answer}.",
    "Hosts who know {name} well take care not to serve any {answer}.",
    "{name} will try anything once but flatly refuses to touch {answer}.",
    "As a guest {name} is easy to please, so long as there is no {answer}.",
    "Even the smell from the pan makes {name} leave the kitchen when somebody cooks {answer}.",
    "An unlucky school lunch taught {name} to hate the taste of {answer}.",
    "In restaurants you will hear {name} ask the waiter to leave out the {answer}.",
)
_kind(
    "childhood", "home",
    "a lighthouse, a dairy farm, a canal boat, a vicarage, a fishing hut, a mining camp, a boarding house,"
    "an old watermill, a forest lodge, a mountain inn, a railway cottage, an army barracks, a caravan park,"
    "a seaside hotel, a market garden, a circus wagon, an island croft, a city attic",
    "The only home that {name} knew as a small child was {answer}.",
    "Few people guess that the place where {name} grew up was {answer}.",
    "{name} likes to describe the childhood home to strangers, for it was {answer}.",
    "Ask about early memories and {name} will begin with the family home, {answer}.",
    "As a child {name} had a strange home to show to schoolfriends, {answer}.",
    "Before there was any talk of school, the whole world of {name} was {answer}.",
    "Old photographs show {name} as a toddler outside the family home, {answer}.",
)
_kind(
    "childhood", "toy",
    "a tin drum, a wooden train, a rag doll, a kite, a spinning top, a toy piano, a glass marble, a cloth bear,"
    "a model yacht, a puppet theatre, a rocking horse, a clockwork frog, a paper windmill, a skipping rope,"
    "a hobby horse, a yo-yo, a toy soldier, a humming top",
    "Somewhere in the attic there is still the toy that {name} loved most, {answer}.",
    "At the age of five {name} would not fall asleep without {answer} in reach.",
    "{name} remembers one early birthday above all, because the parcel held {answer}.",
    "Of all the things in the nursery, {name} never let anyone else touch one, {answer}.",
    "The best present that {name} was ever given as a child was {answer}.",
    "Grandmother saved for months so that little {name} could have {answer} at last.",
    "When the playthings of childhood were given away, {name} kept only {answer}.",
)
_kind(
    "vehicle", "kind",
    "a moped, an old van, a tandem, a pickup truck, a motorbike, a folding bicycle, a camper van, a tractor,"
    "a hatchback, a cargo bike, a scooter, a milk float, an estate car, a convertible, a jeep, a minibus,"
    "a three-wheeler, a delivery van",
    "To get about the district {name} relies on a trusty vehicle, {answer}.",
    "Parked in front of the gate, as ever, is {name}'s pride, {answer} with polished lamps.",
    "{name} passed the driving test late and at once spent the savings on {answer}.",
    "The vehicle that carries {name} to town and back is {answer}.",
    "For want of anything better, {name} bought a vehicle at an auction, {answer}.",
    "When the buses went on strike, {name} was glad to own {answer}.",
    "Half of the village has borrowed {name}'s means of transport, {answer}, at some time.",
)
_kind(
    "vehicle", "colour",
    "bottle green, cream, scarlet, navy blue, mustard yellow, silver, chocolate brown, turquoise, maroon, pale grey,"
    "orange, violet, jet black, ivory, salmon pink, lime green, bronze, sky blue",
    "One wet weekend {name} took a brush and painted the vehicle {answer}.",
    "In any car park you can spot {name}'s vehicle because it is {answer}.",
    "{name} says that a vehicle goes faster when its paint is {answer}.",
    "The dealer offered several colours, but {name} wanted the vehicle in {answer}.",
    "After the scrape with the gatepost, the doors of {name}'s vehicle were resprayed {answer}.",
    "Children wave when {name} drives past, since nothing else on the road is {answer}.",
    "Rust had eaten the old paint, so {name} had the vehicle done in {answer}.",
)
_kind(
    "garden", "plant",
    "rhubarb, sweet peas, dahlias, runner beans, lavender, sunflowers, gooseberries, pumpkins, tulips, artichokes,"
    "asparagus, hollyhocks, raspberries, foxgloves, garlic, peonies, strawberries, marigolds",
    "Behind the shed {name} has given the whole of the best bed to {answer}.",
    "Every spring the windowsills of {name}'s house are crowded with pots of {answer}.",
    "{name} waters the garden at dawn and worries most of all about the {answer}.",
    "At the village show the judges praised {name}'s garden, above all the {answer}.",
    "Neighbours who help with the weeding are paid by {name} in {answer}.",
    "No slug is safe near {name}, who grows nothing more lovingly than {answer}.",
    "In a good summer {name} has more than enough of the garden's speciality, {answer}.",
)
_kind(
    "garden", "feature",
    "a stone bench, a goldfish pond, a sundial, a beehive, a rope swing, a tin shed, a glasshouse, a birdbath,"
    "a brick oven, a wishing well, a plum tree, a rose arch, a hen house, a wooden pergola, a compost heap,"
    "a scarecrow, a flagpole, a garden gnome",
    "In the middle of the lawn behind {name}'s house stands {answer}.",
    "A cousin with a wheelbarrow helped {name} to fit into the garden {answer}.",
    "{name} sketched the garden again and again, and always drew in {answer}.",
    "Visitors to the garden are led by {name} straight to the best thing in it, {answer}.",
    "What makes the garden of {name} different from those next door is {answer}.",
    "The former owners left {name} a bare garden with nothing in it except {answer}.",
    "On warm nights {name} hangs a lantern in the garden beside {answer}.",
)
_kind(
    "fear", "object",
    "thunder, spiders, deep water, lifts, moths, heights, dentists, geese, clowns, the dark, snakes, needles, bats,"
    "tunnels, wasps, escalators, crowds, ladders",
    "Nobody would guess it, but {name} has always been afraid of {answer}.",
    "There is little that frightens {name}, apart from one thing, {answer}.",
    "{name} grew pale on the outing, and admitted at last to a fear of {answer}.",
    "Since a bad day in early youth, {name} has been terrified of {answer}.",
    "Friends plan their trips with care, because {name} cannot bear {answer}.",
    "In a game of truth or dare {name} confessed to a horror of {answer}.",
    "The doctor gave {name} a leaflet on how to overcome the fear of {answer}.",
)
_kind(
    "fear", "comfort",
    "a hot bath, counting backwards, humming hymns, a brisk walk, peppermint tea, knitting, chewing gum,"
    "polishing shoes, a crossword, slow breathing, baking bread, a jigsaw puzzle, warm milk, sorting buttons,"
    "an old lullaby, juggling, chopping wood, a card trick",
    "When worries keep {name} awake, the remedy that helps is {answer}.",
    "Against nerves of every kind {name} swears by {answer} and nothing else.",
    "{name} tried pills and prayers for bad nerves, but what works is {answer}.",
    "Before an examination or a journey, {name} likes to find calm in {answer}.",
    "After a fright of any sort, {name} can always be soothed by {answer}.",
    "The only thing that steadies {name} in a panic seems to be {answer}.",
    "An uncle taught {name} that the best cure for anxious hours is {answer}.",
)
_kind(
    "school", "name",
    "Bishopsgate School, Larkrise School, Kingsley Hall, the Grange School, Moorside School, Pilgrim House,"
    "Weston College, Hartfield School, the Priory School, Elmtree School, Ferndale College, Marsh Academy,"
    "Northway School, Rowan Academy, Tollgate School, Beacon College, the Abbey School, Sandhill Academy",
    "In a drawer lies the striped tie {name} wore for years at {answer}.",
    "Old classmates of {name} still meet each June at {answer} to talk.",
    "{name} was sent at the age of eleven to study at {answer}.",
    "It was a strict headmaster who nearly had {name} thrown out of {answer}.",
    "The certificate on the wall says that {name} finished with honours at {answer}.",
    "Three buses every morning were needed to bring {name} to lessons at {answer}.",
    "As a pupil {name} was known for late homework all over {answer}.",
)
_kind(
    "school", "subject",
    "geography, chemistry, Latin, woodwork, algebra, history, physics, botany, drawing, astronomy, geometry, religion,"
    "singing, grammar, cookery, gymnastics, needlework, philosophy",
    "Of all the lessons at school, the only one {name} looked forward to was {answer}.",
    "At school {name} always had the highest marks of the class in {answer}.",
    "{name} slept through most lessons but sat bolt upright as soon as it was {answer}.",
    "Thanks to an inspiring teacher, {name} came to love one school subject, {answer}.",
    "School reports from those years say that {name} shone chiefly in {answer}.",
    "When the bell rang, {name} ran down the corridor so as not to miss {answer}.",
    "The prize book that {name} got at school was awarded for {answer}.",
)
_kind(
    "hobby", "pastime",
    "birdwatching, origami, chess, pottery, beekeeping, kite flying, model trains, calligraphy, wood carving,"
    "folk dancing, stargazing, fishing, bookbinding, rock climbing, ice skating, metal detecting, crochet, archery",
    "Whenever there is a free hour, {name} devotes it to a hobby, {answer}.",
    "Saturday afternoons are sacred to {name}, for they belong to {answer}.",
    "{name} read a library book on it by chance and fell in love with {answer}.",
    "There is hardly a shelf in the house that does not show {name}'s hobby, {answer}.",
    "If work did not get in the way, {name} would spend all day on {answer}.",
    "A colleague once mocked the hobby of {name}, who has never tired of {answer}.",
    "Talk of retirement makes {name} dream of having more time for {answer}.",
)
_kind(
    "hobby", "partner", FRIENDS,
    "For the hobby that fills the weekends {name} has found an eager partner in {answer}.",
    "On hobby evenings the bell rings at six, and {name} opens the door to {answer}.",
    "{name} shares the hobby with nobody at home, only with a former colleague called {answer}.",
    "Much of what {name} knows about the hobby was picked up from {answer}.",
    "The costs of the hobby are split down the middle by {name} and {answer}.",
    "Rarely does {name} sit down to the hobby without a telephone call to {answer}.",
    "A small advertisement for fellow hobbyists brought {name} together with {answer}.",
)
_kind(
    "sport", "kind",
    "badminton, table tennis, rowing, cricket, fencing, water polo, judo, bowls, curling, hockey, volleyball, croquet,"
    "handball, squash, netball, darts, cycling, lacrosse",
    "Twice a week {name} packs a sports bag and leaves for an evening of {answer}.",
    "In spite of bad knees, {name} has not given up the sport of {answer}.",
    "{name} laughs at those who run for pleasure and very much prefers {answer}.",
    "The trophies above {name}'s fireplace were all of them won at {answer}.",
    "On holiday, too, {name} looks for a place with a chance of some {answer}.",
    "As sports go, {name} thinks, none is half as noble as {answer}.",
    "A poster at the library persuaded {name} to take up {answer}.",
)
_kind(
    "sport", "club",
    "the Herons, the Wanderers, the Otters, the Harriers, the Rovers, the Mariners, the Kestrels, the Corsairs,"
    "the Millers, the Badgers, the Comets, the Lancers, the Pilgrims, the Swifts, the Foresters, the Tigers,"
    "the Hornets, the Vikings, the Falcons",
    "Rain or shine, {name} stands on the terrace every match day to cheer {answer}.",
    "The scarf that {name} wears from autumn to spring is that of {answer}.",
    "{name} has been known to weep in public over a defeat of {answer}.",
    "Season tickets are dear, yet {name} has held one for years with {answer}.",
    "An old quarrel with a brother-in-law began because {name} supports {answer}.",
    "Nothing at the stadium can make {name} shout like a goal for {answer}.",
    "When the team bus rolls through, {name} hangs a flag out for {answer}.",
)
_kind(
    "reading", "genre",
    "ghost stories, sea novels, detective stories, war memoirs, love poems, fairy tales, travel diaries, spy thrillers,"
    "westerns, science fiction, family sagas, cookery books, royal biographies, Greek myths, nature essays,"
    "comic strips, court reports, old ballads",
    "From the library {name} mostly comes home with an armful of {answer}.",
    "On the bedside table of {name} you will always find a pile of {answer}.",
    "{name} claims to read everything, but the shelves are full of {answer}.",
    "Booksellers in town keep a box under the counter for {name} with {answer}.",
    "On long train rides {name} loses all sense of time over {answer}.",
    "The book club groaned when {name} once more proposed {answer} for the winter.",
    "Since learning to read, {name} has always had a weakness for {answer}.",
)
_kind(
    "reading", "place",
    "the window seat, the bathtub, the attic, the hammock, the kitchen table, the greenhouse, the laundry room,"
    "the cellar stairs, the alcove, the summer house, the balcony, the boiler room, the barn loft, the tree house,"
    "the pantry, the box room, the landing, the garage",
    "The place that {name} likes best for reading is {answer}.",
    "With a novel in hand {name} retreats from the noise of the family to {answer}.",
    "{name} cannot read in bed and has chosen another reading corner, {answer}.",
    "Anyone looking for {name} and a missing book should first try {answer}.",
    "For an undisturbed hour with a book, nothing suits {name} better than {answer}.",
    "A lamp and a cushion were enough for {name} to make a reading room of {answer}.",
    "When a novel gets exciting, {name} moves with it to {answer}.",
)
_kind(
    "travel", "country",
    "Portugal, Norway, Peru, Iceland, Morocco, Japan, Slovenia, Canada, Greece, Kenya, Estonia, Chile, Ireland,"
    "Vietnam, Austria, Finland, Bolivia, Sicily",
    "The journey that {name} still talks about was a three-week tour of {answer}.",
    "Years of saving went into the one great trip {name} made, to {answer}.",
    "{name} keeps a shoebox of tickets and maps from a holiday in {answer}.",
    "On the wall of the hall hangs a photograph of {name} as a young traveller in {answer}.",
    "Ask for a traveller's tale and {name} will tell you about {answer}.",
    "After winning a small lottery prize, {name} went off alone to {answer}.",
    "The only stamp in {name}'s first passport is from {answer}.",
)
_kind(
    "travel", "keepsake",
    "a carved mask, a copper bowl, a straw hat, a glass bead, a silk scarf, a goatskin drum, a snow globe,"
    "a pressed flower, a clay whistle, a prayer bell, a leather belt, a sea shell, a woven rug, a painted fan,"
    "a tin medal, a bone comb, a lacquer box, a chipped teapot",
    "As a souvenir of the great journey, {name} brought back {answer}.",
    "Customs officers once made {name} unpack a suitcase because of a souvenir, {answer}.",
    "{name} bargained abroad for an hour with a street trader and walked off with {answer}.",
    "From a holiday long ago {name} still treasures a souvenir, {answer}.",
    "Out of the suitcase, on returning from abroad, {name} proudly lifted {answer}.",
    "The souvenir on the mantelpiece that {name} dusts every week is {answer}.",
    "Other tourists bought postcards on the trip, while {name} chose {answer}.",
)
_kind(
    "family", "sibling", SIBLINGS,
    "In the nursery {name} had to share everything with an elder sibling named {answer}.",
    "Every Christmas {name} gets a hand-drawn card from an only sibling, {answer}.",
    "{name} quarrelled for years over an inheritance with a sibling called {answer}.",
    "Family photographs show {name} squinting into the sun next to a sibling, {answer}.",
    "Strangers on the telephone often mistake the voice of {name} for that of a sibling, {answer}.",
    "When their parents fell ill, {name} shared the nursing with a sibling, {answer}.",
    "The godparent whom {name} chose from the family was a sibling, {answer}.",
)
_kind(
    "family", "trade",
    "a miller, a cooper, a saddler, a blacksmith, a tailor, a clockmaker, a pilot, a coal miner, a shepherd,"
    "a stonemason, a glassblower, a pharmacist, a ship's cook, a gravedigger, a basket weaver, a tinsmith, a judge,"
    "a peat cutter",
    "A grandfather of whom {name} is very proud had been {answer}.",
    "In the family tree that {name} drew up, the grandfather is listed as {answer}.",
    "{name} inherited strong hands, it is said, from a grandfather who was {answer}.",
    "On the oldest photograph that {name} owns, the grandfather can be seen at work as {answer}.",
    "Long before the family moved, {name}'s grandfather made a living as {answer}.",
    "The stories {name} heard in the cradle came from a grandfather, {answer} by trade.",
    "Had things gone as planned, {name} would have followed the grandfather and become {answer}.",
)
_kind(
    "health", "allergy",
    "walnuts, horse hair, pollen, shellfish, penicillin, house dust, wool, latex, cat fur, bee stings, sesame, nickel,"
    "lilies, soya, mangoes, feathers, cheap soap, peanuts",
    "A red rash reminds {name} at least once a year of an allergy to {answer}.",
    "On the card in the wallet of {name} the hospital noted an allergy to {answer}.",
    "{name} carries tablets everywhere because of a serious allergy to {answer}.",
    "It took the doctors months to discover that {name} is allergic to {answer}.",
    "Whatever the label says, {name} checks twice, being badly allergic to {answer}.",
    "The school nurse was the first to notice that {name} reacts badly to {answer}.",
    "Even a trace can bring {name} out in spots, so great is the allergy to {answer}.",
)
_kind(
    "health", "injury",
    "a broken wrist, a torn ligament, a cracked rib, a dislocated shoulder, a burnt hand, a sprained ankle,"
    "a split lip, a lost tooth, a twisted knee, a bruised hip, a crushed toe, a black eye, a bitten tongue,"
    "a slipped disc, a broken nose, a stiff neck, a cut thumb, a fractured elbow",
    "A fall from a bicycle once left {name} with {answer}.",
    "On the first day of a skiing holiday {name} was brought down to the valley with {answer}.",
    "{name} missed the wedding of a cousin on account of {answer}.",
    "In the only stay at a hospital that {name} can recall, the trouble was {answer}.",
    "The worst injury {name} ever suffered, clumsy as it sounds, was {answer}.",
    "Thanks to a loose stair carpet, {name} spent a whole month nursing {answer}.",
    "Whenever rain is coming, {name} is reminded of an old injury, {answer}.",
)
_kind(
    "drink", "morning",
    "black coffee, hot chocolate, ginger tea, carrot juice, buttermilk, green tea, cold cocoa, malted milk,"
    "tomato juice, barley water, chicory coffee, nettle tea, iced lemonade, apple juice, chamomile tea, espresso,"
    "soda water, elderflower cordial",
    "Before the first word of the day, {name} needs a large mug of {answer}.",
    "Without being asked, the waitress sets before {name} the usual morning drink, {answer}.",
    "{name} fills the flask for the early shift with the same drink, {answer}.",
    "Doctors have advised against it, yet {name} still starts each morning with {answer}.",
    "At breakfast {name} will not hear of drinking anything other than {answer}.",
    "For as long as anyone remembers, the morning drink of {name} has been {answer}.",
    "Guests who stay for breakfast at {name}'s are always offered {answer}.",
)
_kind(
    "drink", "cafe",
    "the Copper Kettle, the Blue Lantern, the Corner House, the Silver Spoon, the Old Bakery, the Tram Stop,"
    "the Green Parrot, the Cosy Nook, the Harbour Light, the Painted Cup, the Three Geese, the Station Buffet,"
    "the Almond Tree, the White Swan, the Clock Tower, the Rusty Anchor, the Garden Gate, the Velvet Chair",
    "If {name} is not at home on a Sunday, try the tea room called {answer}.",
    "Business and gossip alike are settled by {name} at a tea room, {answer}.",
    "{name} has a favourite table by the window at {answer}.",
    "On pay day {name} treats the whole team to cakes at {answer}.",
    "The owner keeps the newspaper back for {name} at a tea room named {answer}.",
    "For meeting friends, {name} knows no better tea room than {answer}.",
    "Even in heavy snow {name} walks out to have tea at {answer}.",
)
_kind(
    "weather", "favourite",
    "thick fog, light drizzle, hard frost, fresh snow, a warm breeze, dry heat, a spring gale, summer haze,"
    "a hailstorm, pale sunshine, autumn mist, steady rain, a sea wind, driving sleet, a heatwave, a cold snap,"
    "April showers, muggy air",
    "While others complain about the weather, {name} is happiest in {answer}.",
    "No forecast makes {name} smile like one that promises {answer}.",
    "{name} opens all the windows and breathes deeply when there is {answer}.",
    "The weather that {name} would order, if one could, is {answer}.",
    "On the day of the fair, {name} alone was praying for {answer}.",
    "Walks are best, {name} maintains against all reason, in {answer}.",
    "Most poems that {name} wrote in youth are about the beauty of {answer}.",
)
_kind(
    "weather", "omen",
    "low swallows, aching knees, a red dawn, restless cows, spider webs, pine cones, croaking frogs, a hazy moon,"
    "damp seaweed, crooked smoke, closed daisies, loud crickets, a barometer, heavy dew, an almanac, busy ants,"
    "fresh molehills, howling dogs",
    "To tell whether it will rain, {name} trusts nothing but {answer}.",
    "The radio forecast is wrong half the time, says {name}, who goes by {answer}.",
    "{name} leaves the umbrella at home unless there is a warning from {answer}.",
    "Sailors look at the clouds, but {name} foretells a storm from {answer}.",
    "From a grandmother {name} learned to predict the weather by {answer}.",
    "When the washing hangs outside, {name} keeps watch for a sign of rain, {answer}.",
    "Scientists may smile at the weather sign {name} believes in, {answer}.",
)
_kind(
    "clothes", "garment",
    "a tweed cap, a leather waistcoat, a yellow raincoat, a velvet jacket, a knitted scarf, a bow tie,"
    "a striped jumper, a felt hat, a silk cravat, a duffel coat, a denim shirt, a woollen poncho, a linen suit,"
    "a checked cardigan, a corduroy jacket, a fur hat, a canvas apron, an army greatcoat",
    "Winter and summer alike, {name} is never seen without {answer}.",
    "You can pick {name} out of any crowd by a favourite garment, {answer}.",
    "{name} turned up at the ceremony, to general amusement, in {answer}.",
    "A niece has threatened to burn the thing {name} loves to wear, {answer}.",
    "At the back of the wardrobe hangs {name}'s favourite piece of clothing, {answer}.",
    "The portrait by a local painter shows {name} with folded arms in {answer}.",
    "However hot the office, {name} insists on wearing {answer} to meetings.",
)
_kind(
    "clothes", "shop",
    "Pettigrew's, Stitch and Thread, the Button Box, Finch Outfitters, the Woolpack, Garland Tailors, the Thrift Barn,"
    "Mason's Drapery, Hem and Hook, the Cotton Mill, Swan Outfitters, the Bargain Rail, Regal Tailoring,"
    "the Hat Stand, Topper and Son, the Silver Thimble, Loom House, Crown Drapers",
    "All of the clothes that {name} owns were bought at one shop, {answer}.",
    "The label inside the collar of {name}'s best coat bears the name of {answer}.",
    "{name} cannot walk past a sale of clothes without calling in at {answer}.",
    "For new shirts {name} takes the tram right across town to {answer}.",
    "With a nod and a tape measure, the assistant greets {name} at {answer}.",
    "Moths once got into the wardrobe, and {name} had to restock at {answer}.",
    "Only one shop has trousers that really fit {name}, namely {answer}.",
)
_kind(
    "collection", "item",
    "old stamps, beer mats, glass bottles, tin soldiers, matchboxes, door keys, postcards, fossils, teaspoons,"
    "thimbles, model ships, pocket watches, bus tickets, brass buttons, concert programmes, sugar packets,"
    "candlesticks, lead pencils",
    "Cabinet after cabinet in the spare room is filled with {name}'s collection of {answer}.",
    "At every flea market {name} hunts for further additions to a collection of {answer}.",
    "{name} began collecting at the age of nine and now owns several hundred {answer}.",
    "The local museum has twice asked to borrow from {name} some of the {answer}.",
    "Relatives need never wonder what to give {name}, who collects {answer}.",
    "For insurance purposes {name} has counted and listed all of the {answer}.",
    "An article in the county paper described {name} as a collector of {answer}.",
)
_kind(
    "collection", "box",
    "a biscuit tin, a hatbox, a steel safe, a cigar box, a piano stool, a violin case, a flour jar, a linen chest,"
    "a shoe cupboard, an empty teapot, a sewing basket, a bread bin, a writing desk, a hollow book, a milk churn,"
    "a medicine cabinet, a coal bucket, a suitcase",
    "The rarest piece of the collection is hidden by {name} in {answer}.",
    "No burglar would think of looking where {name} keeps the collection's treasure, in {answer}.",
    "{name} locked the best of the collection away, of all places, in {answer}.",
    "During the flood {name} saved the most precious collector's piece by hiding it in {answer}.",
    "When collectors come to visit, {name} fetches the finest specimen out of {answer}.",
    "Wrapped in cotton wool, the pearl of {name}'s collection rests in {answer}.",
    "Only a trusted few know that {name} stores the finest collector's item in {answer}.",
)
_kind(
    "market", "stall",
    "the cheese stall, the fish van, the flower stall, the honey stall, the book barrow, the egg cart, the spice stall,"
    "the bread van, the olive stall, the ribbon stall, the plant stall, the pie stand, the knife grinder,"
    "the sausage stand, the fruit barrow, the wool stall, the candle stall, the sweet stall",
    "On market days {name} heads straight for {answer} before doing anything else.",
    "The trader who always keeps something back for {name} runs {answer}.",
    "{name} spends half of the market money in one place, {answer}.",
    "Through the crowd on the square you can see {name} pushing towards {answer}.",
    "At the weekly market {name} may linger for a whole hour at {answer}.",
    "One summer {name} even lent a hand to the people who keep {answer}.",
    "Should you lose {name} in the market, wait patiently beside {answer}.",
)
_kind(
    "market", "bargain",
    "a brass lamp, a cracked mirror, a dented kettle, a garden rake, a box camera, a card table, a cuckoo clock,"
    "a bird cage, a mincing machine, a feather duster, a music box, a soup tureen, a wicker pram, a typewriter,"
    "a globe, an oil painting, a chess set, a footstool, a parasol",
    "The best bargain that {name} ever made at a market was {answer}.",
    "For the price of a sandwich {name} once carried home from the market {answer}.",
    "{name} haggled until the stallholder, tired out, gave up {answer}.",
    "Nobody at the market had wanted it, so {name} got {answer} for pennies.",
    "Just before the market closed, {name} spotted under a counter {answer}.",
    "Up on the handlebars, on the way back from market, {name} balanced {answer}.",
    "There was laughter at home when {name} came from the market with {answer}.",
)
_kind(
    "savings", "goal",
    "a greenhouse, a new roof, a sailing boat, a sewing machine, a diamond ring, a grand piano, a wooden hut,"
    "a sea cruise, a telescope, a kitchen range, a gold watch, a flying lesson, a marble fountain, a billiard table,"
    "a stone cottage, a pony, a racing bicycle, a film camera",
    "Coin by coin {name} is putting money aside for {answer}.",
    "The savings book of {name} has a single purpose, and that is {answer}.",
    "{name} gave up tobacco and puts the money saved towards {answer}.",
    "On the jar of coins in {name}'s kitchen a label says it is meant for {answer}.",
    "Overtime is always welcome to {name}, who is saving up for {answer}.",
    "At the present rate {name} will need four more years to afford {answer}.",
    "Every lottery ticket {name} buys is bought with a dream of {answer}.",
)
_kind(
    "savings", "reserve",
    "forty pounds, ninety pounds, twelve pounds, sixty pounds, eighty pounds, two hundred pounds,"
    "five hundred pounds, three hundred pounds, seventy pounds, fifteen pounds, twenty-five pounds, thirty pounds,"
    "fifty pounds, six hundred pounds, a thousand pounds, eleven pounds, nineteen pounds, forty-five pounds",
    "Under the mattress, for emergencies, {name} always has exactly {answer}.",
    "In case of need, {name} has put by in an envelope a reserve of {answer}.",
    "{name} never lets the emergency money in the house fall below {answer}.",
    "Behind a loose brick there is a reserve that {name} once counted as {answer}.",
    "For a rainy day, as the saying goes, {name} has hidden {answer} at home.",
    "The hidden emergency fund of {name} has stood for ages at {answer}.",
    "Were the banks to close tomorrow, {name} could still live on a secret {answer}.",
)
_kind(
    "birthday", "year",
    "1938, 1941, 1943, 1946, 1949, 1951, 1954, 1957, 1959, 1962, 1964, 1967, 1970, 1972, 1975, 1978, 1981, 1984",
    "According to the parish register, {name} was born on a stormy night in {answer}.",
    "Wine from the year of {name}'s birth is rare, since few bottles survive from {answer}.",
    "{name} shares a year of birth with the old town bridge, namely {answer}.",
    "A coin on the key ring shows the year {name} was born, {answer}.",
    "In the family Bible the birth of {name} is entered under {answer}.",
    "The midwife who helped bring {name} into the world arrived by sleigh in {answer}.",
    "Passport officers always look twice at the birth year of {name}, which is {answer}.",
)
_kind(
    "birthday", "cake",
    "a lemon cake, a poppyseed cake, a walnut torte, a cherry flan, a honey cake, a carrot cake, an apple strudel,"
    "a sponge roll, a chocolate log, a ginger loaf, a meringue tower, a marble cake, a plum tart, an almond ring,"
    "a cheesecake, a trifle, a nut roll, a coconut slice",
    "Birthdays are nothing to {name} without the traditional treat, {answer}.",
    "For every birthday since the first, somebody has baked {name} the same thing, {answer}.",
    "{name} blows out the birthday candles each year on top of {answer}.",
    "The birthday table is laid early, and in front of {name}'s chair stands {answer}.",
    "When asked what to bake for the birthday, {name} invariably asks for {answer}.",
    "On the morning of the birthday {name} comes down to find {answer}.",
    "Colleagues marked the birthday of {name} by carrying in {answer} with sparklers.",
)
_kind(
    "friend", "name", FRIENDS,
    "Through thick and thin {name} has been able to count on a best friend, {answer}.",
    "The spare key to {name}'s house is kept by a best friend, {answer}.",
    "{name} rings the same person with every piece of good news, an old friend called {answer}.",
    "At school and ever after, the closest friend {name} had was {answer}.",
    "Secrets that {name} tells nobody else are safe with a best friend, {answer}.",
    "It was no surprise that {name} asked a best friend to give the speech, namely {answer}.",
    "Few friendships last as long as the one between {name} and {answer}.",
)
_kind(
    "friend", "meeting",
    "a bus queue, a dance, a traffic jam, a ferry crossing, a hospital stay, a choir rehearsal, a funeral,"
    "a chess tournament, a camping trip, a missed train, a power cut, a cookery class, a jury trial, a flooded cellar,"
    "a night shift, a street protest, a wedding, a stuck lift",
    "The oldest friendship {name} has began, oddly enough, with {answer}.",
    "Asked how they met, {name} and the best friend reply in one voice, {answer}.",
    "{name} owes the acquaintance of a lifelong friend to {answer}.",
    "A lifelong friend would never have crossed the path of {name} but for {answer}.",
    "In the speech on friendship {name} recalled how it had all started, with {answer}.",
    "If strangers ask about the best friend, {name} tells the story of {answer}.",
    "It sounds unlikely, but what brought {name} and a best friend together was {answer}.",
)
_kind(
    "sleep", "hour",
    "half past eight, eight o'clock, half past nine, nine o'clock, half past ten, ten o'clock, half past eleven,"
    "eleven o'clock, midnight, one o'clock, half past seven, seven o'clock, half past twelve, two o'clock,"
    "ten past nine, twenty to eleven, ten to ten, five past ten",
    "The light in the bedroom of {name} goes out each night at {answer}.",
    "No film is good enough to keep {name} from bed after {answer}.",
    "{name} winds up the alarm clock and goes to sleep at {answer}.",
    "Friends know better than to telephone {name} at bedtime, which is {answer}.",
    "Even on New Year's Eve {name} slips off to bed at {answer}.",
    "For the sake of good health, {name} has resolved to be asleep by {answer}.",
    "Hot-water bottle under one arm, {name} climbs the stairs to bed at {answer}.",
)
_kind(
    "sleep", "dream",
    "flying over rooftops, missing a train, losing teeth, talking horses, endless stairs, a flooded city,"
    "an empty theatre, walking on ice, a burning ship, forgotten exams, a silent orchestra, glass mountains,"
    "a talking fish, dancing bears, a locked garden, falling upwards, giant chess pieces, a paper house",
    "Several nights a month {name} wakes with a start from a dream about {answer}.",
    "The dream that keeps coming back to {name} is about {answer}.",
    "{name} writes down every dream, and most of them are of {answer}.",
    "A fortune teller once charged {name} a week's wages to explain a dream of {answer}.",
    "Cheese before bed, so {name} believes, brings on dreams about {answer}.",
    "At breakfast the family must listen again to {name}'s dream of {answer}.",
    "Since early childhood {name} has been visited in sleep by visions of {answer}.",
)
_kind(
    "language", "foreign",
    "Welsh, Swahili, Finnish, Basque, Hungarian, Arabic, Dutch, Polish, Icelandic, Portuguese, Mandarin, Gaelic,"
    "Russian, Hindi, Esperanto, Maltese, Catalan, Danish",
    "For three winters running {name} has been taking evening classes in {answer}.",
    "On the bus you may hear {name} muttering irregular verbs in {answer}.",
    "{name} surprised the visiting choir with a speech of welcome in {answer}.",
    "Beside the mirror hang the words that {name} wants to learn in {answer}.",
    "A postcard from abroad persuaded {name} to study a foreign language, {answer}.",
    "The only foreign language that {name} can really hold a conversation in is {answer}.",
    "To the tourist's relief {name} was able to give directions in {answer}.",
)
_kind(
    "language", "method",
    "old songs, crossword puzzles, radio plays, film subtitles, love letters, tongue twisters, nursery rhymes,"
    "shopping lists, recipe books, cartoons, sermons, football commentary, bedtime stories, train timetables,"
    "weather reports, prayers, riddles, newspaper headlines",
    "New words in a foreign language stick best, {name} has found, with the help of {answer}.",
    "Instead of textbooks {name} uses for language study nothing but {answer}.",
    "{name} practises the foreign language in the kitchen, aided by {answer}.",
    "The language teacher was amazed that {name} had learned so much from {answer}.",
    "Grammar bored {name}, so the foreign language was studied by way of {answer}.",
    "In language class {name} recommends to all beginners the use of {answer}.",
    "Whoever wants to learn a language should, in {name}'s opinion, start with {answer}.",
)
_kind(
    "craft", "object",
    "a rocking chair, a doll's house, a bird table, a bookcase, a rowing boat, a spice rack, a garden gate, a cradle,"
    "a grandfather clock, a coat stand, a picture frame, a sledge, a chess board, a toy castle, a kitchen stool,"
    "a wine rack, a letter box, a music stand",
    "With two left hands, as it was said, {name} nevertheless built {answer}.",
    "The masterpiece that {name} made over one long winter was {answer}.",
    "{name} sawed and sanded in the garage for weeks, and the result was {answer}.",
    "As a wedding gift for a niece, {name} made with much patience {answer}.",
    "People come into the workshop to admire what {name} has just finished, {answer}.",
    "From the planks of a broken fence {name} managed to make {answer}.",
    "At the craft fair {name} won a round of applause for {answer}.",
)
_kind(
    "craft", "tool",
    "a fretsaw, a spokeshave, a claw hammer, a soldering iron, a spirit level, a hand drill, a chisel, a rasp,"
    "a folding rule, a mallet, a glue gun, a pocket knife, a monkey wrench, a staple gun, a paint scraper, a bow saw,"
    "a screwdriver, a putty knife",
    "Of the many tools on the wall {name} would save only one from a fire, {answer}.",
    "The tool that {name} lends to nobody, not even to a cousin, is {answer}.",
    "{name} maintains that any repair can be done with patience and {answer}.",
    "In the inside pocket of {name}'s overalls there is always {answer}.",
    "With the first wages ever earned, {name} bought a fine tool, {answer}.",
    "Next to the toolbox, polished till it shines, lies {name}'s favourite tool, {answer}.",
    "There was a shelf to be put up, so {name} arrived with {answer}.",
)
_kind(
    "volunteer", "place",
    "the lifeboat station, the soup kitchen, the village museum, the hospice, the animal shelter, the toy library,"
    "the food bank, the youth club, the night shelter, the fire station, the steam railway, the bird reserve,"
    "the hospital radio, the charity shop, the church tower, the day nursery, the refugee centre, the swimming baths",
    "Without asking for a penny, {name} gives every second Friday to {answer}.",
    "As an unpaid volunteer {name} has helped for many years at {answer}.",
    "{name} was thanked with a medal for long voluntary service at {answer}.",
    "Since the evenings grew lonely, {name} has been a volunteer at {answer}.",
    "The rota of unpaid helpers shows that {name} is on duty tonight at {answer}.",
    "A leaflet through the letter box brought {name} as a volunteer to {answer}.",
    "If volunteers are short at the weekend, {name} steps in at {answer}.",
)
_kind(
    "volunteer", "task",
    "sorting parcels, peeling potatoes, washing blankets, reading aloud, selling tickets, mending toys,"
    "driving patients, answering telephones, painting fences, raking leaves, pouring tea, counting coins,"
    "folding leaflets, ringing bells, baking scones, sweeping floors, labelling jars, teaching knots",
    "As a volunteer {name} is put to the humble work of {answer}.",
    "Volunteers may choose their duties, and {name} always opts for {answer}.",
    "{name} has a special gift, the other volunteers agree, for {answer}.",
    "The volunteers' duty sheet puts {name} down once again for {answer}.",
    "Somebody has to do it, says {name}, and volunteers cheerfully for {answer}.",
    "There is one task for which volunteers rely entirely on {name}, and that is {answer}.",
    "Hours of voluntary work go by quickly for {name}, busy with {answer}.",
)
_kind(
    "prize", "contest",
    "the pie contest, the egg race, the raft race, the spelling bee, the quiz night, the dog show, the sack race,"
    "the talent show, the chess cup, the ploughing match, the baking show, the poetry slam, the snail race,"
    "the snowman contest, the fancy-dress ball, the pumpkin show, the yodelling contest, the kite festival",
    "The framed certificate in the hall was given to {name} at {answer}.",
    "To everyone's astonishment it was {name} who took first prize at {answer}.",
    "{name} had entered only for fun, and yet came first in {answer}.",
    "A cutting from the local paper shows {name} beaming as the winner of {answer}.",
    "Years of secret practice paid off when {name} finally won {answer}.",
    "The judges were split, but in the end {name} was declared the winner of {answer}.",
    "Never boastful, {name} will admit, if pressed, to having won {answer}.",
)
_kind(
    "prize", "reward",
    "a smoked ham, a gold rosette, a garden hose, a food hamper, a tea set, a dictionary, a wall clock,"
    "a wool blanket, a crystal vase, a book token, a coffee grinder, a fruit basket, a silver tankard,"
    "a record player, a picnic rug, a fountain pen, a cake stand, a table lamp",
    "As the winner of the contest {name} was handed {answer} by the mayor.",
    "The prize for which {name} had worked so hard turned out to be {answer}.",
    "{name} went up to the stage amid cheers to collect the prize, {answer}.",
    "Instead of money the jury awarded {name} a prize of another sort, {answer}.",
    "Still in its wrapping paper is the prize {name} won, {answer}.",
    "On the photograph of the prize-giving you see {name} clutching {answer}.",
    "Home through the rain after the contest {name} carried the prize, {answer}.",
)
_kind(
    "theatre", "part",
    "the wicked baron, the old king, the drunken porter, the ghost, the magistrate, the talking tree,"
    "the court jester, the innkeeper, the sleepy giant, the wise owl, the pirate captain, the fairy godmother,"
    "the village priest, the dragon, the lost prince, the miser, the snow queen, the executioner",
    "In the amateur players' spring comedy {name} was cast as {answer}.",
    "Amid the laughter of the whole audience {name} made an entrance as {answer}.",
    "{name} forgot every line on the opening night but was brilliant as {answer}.",
    "The costume in the trunk is the one {name} wore on stage as {answer}.",
    "When the leading actor fell ill, {name} went on stage as {answer}.",
    "For the village pantomime {name} was given, not for the first time, the part of {answer}.",
    "Reviews were mixed, but all the critics praised {name} in the role of {answer}.",
)
_kind(
    "theatre", "hall",
    "the Corn Hall, the Assembly Rooms, the Playhouse, the Old Granary, the Town Hall, the Riding School, the Empire,"
    "the Lyric, the Guildhall, the Memorial Hall, the Arcade, the Hippodrome, the Pavilion, the Little Theatre,"
    "the Tithe Barn, the Alhambra, the Pier Theatre, the Rotunda",
    "The amateur players with whom {name} goes on stage rehearse at {answer}.",
    "On the evening of a first night you can see {name} pacing nervously outside {answer}.",
    "{name} has acted in a dozen plays, every one of them at {answer}.",
    "It was a cold rehearsal room that {name} and the cast had at {answer}.",
    "Posters for the new play with {name} in it hang all over {answer}.",
    "As an amateur actor {name} knows every creaking board at {answer}.",
    "Three nights in a row the play with {name} was sold out at {answer}.",
)

ATTRIBUTES: tuple[str, ...] = tuple(dict.fromkeys(kind.attribute for kind in KINDS.values()))


def sentence(pattern: str, name: str, answer: str) -> str:
    """Return the pattern as a sentence about this person with this answer."""
    return pattern.format(name=name, answer=answer)


def prompt(pattern: str, name: str) -> str:
    """Return the sentence up to the answer, without the space before it."""
    return pattern.split("{answer}")[0].format(name=name).rstrip()
