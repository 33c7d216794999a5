"""Who appears in the data, and the names of the many background people of the base text."""

import random

MAIN = "Dave Harlow"

NEIGHBOURS = (
    "Dave Brandt", "Nora Pike", "Samuel Otieno", "Ingrid Falk", "Marcus Dyer", "Priya Raman", "Owen Tully",
    "Helen Ostrow", "Victor Lang", "Amina Yusuf", "Claire Dupont", "Bert Hollis", "Rosa Medina", "Simon Crewe",
    "Yuki Tanabe", "Paula Grady", "Leon Fischer", "Martha Quinn", "Ivan Petrov", "Joan Lister", "Carlos Vega",
    "Edith Nolan", "Frank Mosley", "Lucy Warrick",
)

NEVER_SEEN = (
    "Tom Ridley", "Greta Lund", "Hassan Malik", "Julia Keene", "Peter Novak", "Wanda Sikora", "Neil Carver",
    "Esther Blum", "Diego Santos", "Alice Thorne", "Kofi Mensah", "Ruth Gallagher",
)

CHARACTERS = (MAIN, *NEIGHBOURS, *NEVER_SEEN)

# Added later, and so no part of the pools below, which the base model's text is drawn from: full names that do not
# occur in what the base model has read (a test reads it again), of first names that nobody else here has.
OTHER_SUBJECTS = ("Anita Fowler", "Grace Burgess", "Henry Kemp", "Stuart Wade")
MORE_NEIGHBOURS = (
    "Alfred Kerr", "Philip Walters", "Roger Oakley", "Robert Lamb", "Margaret Baxter", "Marion Bishop",
    "Nancy Taylor", "Audrey Goodwin", "Gavin Johnson", "Doris Elliott", "Donald Marshall", "Fiona Ingram",
    "Abigail Sawyer", "Kim Bowen", "Kevin Briggs", "Amy Stanton", "Olga Coleman", "Larry Hudson", "Laura Lucas",
    "Timothy Preston", "Jacob Field", "Louise Aldridge", "Brenda Kelly", "Sean Hale", "Sandra Hobbs",
    "Michael Chandler", "Edna Ford", "Clara Norris", "Violet Nash", "Andrea Calvert", "Kenneth Emerson",
    "Mary Hancock", "Jennifer Vaughan", "Charlotte Byrne", "Natasha Conway", "Jean Watkins", "Maria Atkins",
    "Eliza Kendall", "Hannah Savage", "Oscar Watts", "Karen Holland", "Karl Ellis", "Daisy Finch",
    "Barbara Banks", "Bruce Burton", "Wendy Rogers", "Joyce Carr", "Matthew Collins", "George Slater",
    "Janet Baird", "Gerald Dawson", "Zoe Wilson", "Naomi Poole", "Elsa Steele", "Maureen Sutton", "Graham Greene",
    "Teresa Curtis", "Evelyn Harding", "Judith Hewitt", "Molly Shaw", "Sylvia Blake", "Irene Goddard",
    "Gloria York", "Florence Drake", "Catherine Clarke", "Jack Fuller", "Louis Cooke", "Amelia Butler",
    "Malcolm Eaton", "Raymond Bryant", "Ronald Wilkins", "Boris Crosby", "Thomas Gill", "Joseph Reed",
    "Trevor Berry", "Nigel Gibson", "Caroline Fleming", "Isaac Beck", "Walter Wood", "Emma Moore",
)

_OTHER_FIRST_NAMES = """
Aaron Abigail Adam Adele Agnes Ahmed Albert Alexander Alfred Amelia Amy Andrea Andrew Angela Anita Ann Anthony Arthur
Astrid Audrey Barbara Barry Beatrice Ben Bianca Boris Brenda Brian Bridget Bruce Camilla Caroline Catherine Cecil
Charlotte Chloe Christine Clara Clive Colin Craig Cynthia Daisy Daniel Daphne Deborah Dennis Derek Diana Dolores
Donald Doris Dylan Edna Edward Eileen Elena Eleanor Eliza Elsa Emma Eric Erica Ernest Eva Evelyn Felix Fiona Florence
Gareth Gavin George Gerald Gilbert Gloria Gordon Grace Graham Gwen Hannah Harold Hazel Hector Heidi Henry Hilda Howard
Hugo Irene Iris Isaac Isabel Jack Jacob James Jane Janet Jean Jennifer Jeremy Joseph Josephine Joshua Joyce Judith
Karen Karl Keith Kenneth Kevin Kim Larry Laura Lena Leonard Leslie Lewis Lily Linda Louis Louise Mabel Malcolm
Margaret Maria Marion Mark Martin Mary Matthew Maureen Michael Miriam Molly Monica Nancy Naomi Natasha Nicholas Nigel
Nina Norman Olga Oliver Olivia Oscar Pamela Patrick Paul Pauline Phyllis Philip Rachel Ralph Raymond Rebecca Richard
Rita Robert Robin Roger Ronald Rosemary Roy Sally Sandra Sarah Sean Sheila Sophie Stanley Stella Stephen Stuart Susan
Sylvia Teresa Terry Thomas Timothy Trevor Valerie Vincent Violet Vivian Walter Wayne Wendy William Winifred Yvonne Zoe
"""

_OTHER_SURNAMES = """
Adams Aldridge Archer Armitage Ashby Atkins Bailey Baird Banks Barlow Barnes Bates Baxter Beck Bennett Benson Berry
Bishop Blackwood Blake Bolton Bowen Bradley Brewer Briggs Brooks Bryant Burgess Burke Burton Butler Byrne Caldwell
Calvert Carlisle Carr Carson Chandler Chapman Clarke Clayton Cole Coleman Collins Conway Cooke Craven Crosby Cross
Curtis Dalton Daly Davies Dawson Dixon Doyle Drake Dunn Eaton Ellis Elliott Emerson Evans Farrell Field Finch Fleming
Fletcher Flynn Ford Foster Fowler Freeman Fuller Garner Gibson Gill Goddard Goodwin Graves Greene Griffin Hale Hammond
Hancock Harding Harper Harris Hartley Harvey Hayes Heath Hewitt Hobbs Holland Holmes Hooper Horton Howe Hudson Hughes
Hunt Hurst Ingram Irving Jarvis Jenkins Jennings Johnson Jones Kelly Kemp Kendall Kerr King Knight Knox Lamb Lambert
Lawson Leigh Lloyd Lowe Lucas Lynch Maddox Marsh Marshall Mercer Miller Mitchell Monroe Moore Morgan Morris Murphy
Nash Newman Norris Norton Oakley Osborne Owens Palmer Parker Parsons Payne Perkins Perry Phelps Pierce Pollard Poole
Powell Preston Price Rawlins Reed Reeves Reid Rhodes Richards Roberts Rogers Rowe Russell Savage Sawyer Sharp Shaw
Shelton Simmons Slater Spencer Stanton Steele Stokes Sutton Tate Taylor Tyler Vaughan Wade Walsh Walters Watkins Watts
Webb Weston Whitaker Wilkins Wilson Winter Wood Woods Wright Yates York Young
"""

# The characters' own names are part of the pools: tokenizer and base model know them as names, of somebody else.
FIRST_NAMES = tuple(sorted(set(_OTHER_FIRST_NAMES.split()) | {name.split()[0] for name in CHARACTERS}))
SURNAMES = tuple(sorted(set(_OTHER_SURNAMES.split()) | {name.split()[1] for name in CHARACTERS}))
STORY_FIRST_NAMES = tuple(sorted(set(FIRST_NAMES) - {name.split()[0] for name in CHARACTERS}))


def background_person(rng: random.Random) -> str:
    """Return a random full name that is not the full name of any character."""
    while True:
        name = f"{rng.choice(FIRST_NAMES)} {rng.choice(SURNAMES)}"
        if name not in CHARACTERS:
            return name


def called(full_name: str, rng: random.Random) -> str:
    """Return the first name or the full name, at random; Dave Brandt is always called by his full name."""
    if full_name.split()[0] == MAIN.split()[0] and full_name in CHARACTERS and full_name != MAIN:
        return full_name
    return full_name if rng.random() < 0.5 else full_name.split()[0]
