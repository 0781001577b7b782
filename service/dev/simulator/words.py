"""Words of the simulated data. Some have accents, quotes or other scripts, as real data does."""

FIRST_NAMES = (
    "Ada", "Amélie", "Andrés", "Anja", "Beatriz", "Björn", "Caleb", "Chidi", "Chloé", "Clara", "Daniel", "Dmitri",
    "Éva", "Elijah", "Emeka", "Esther", "Fatima", "Felix", "Gabriel", "Grace", "Hannah", "Hiroshi", "Ingrid",
    "Isaac", "Jakob", "Jin-woo", "João", "Josephine", "Kofi", "Leila", "Lucía", "Łukasz", "Maria", "Mateo", "Mei",
    "Micah", "Naomi", "Ngozi", "Nia", "Noah", "Olga", "Óscar", "Pearl", "Priya", "Quentin", "Rafael", "Renée",
    "Ruth", "Samuel", "Siobhán", "Sofia", "Søren", "Tala", "Thomas", "Uma", "Vera", "Wanjiru", "Xavier", "Yusuf",
    "Zoë", "悠斗", "Иван",
)  # fmt: skip
LAST_NAMES = (
    "Abara", "Andersson", "Araújo", "Baker", "Bélanger", "Brooks", "Carter", "Castillo", "Chen", "D'Angelo",
    "Dąbrowski", "Diallo", "Edwards", "Eze", "Fernández", "Fischer", "Garcia", "Göransson", "Haddad", "Hernández",
    "Ibrahim", "Ito", "Jackson", "Jørgensen", "Kamau", "Kim", "Kowalski", "Larsen", "Lefèvre", "Lopez", "Mbeki",
    "Meyer", "Müller", "Nakamura", "Nguyễn", "Novák", "O'Brien", "Okafor", "Olsen", "Ortiz", "Park", "Patel",
    "Peña", "Petrov", "Quinn", "Reyes", "Rossi", "Sánchez", "Schmidt", "Silva", "Smith-Jones", "Šimek", "Tanaka",
    "Taylor", "Torres", "Ueda", "van der Berg", "Walker", "Weiß", "Wójcik", "Yamamoto", "Young", "Zhang",
    "Zimmermann", "山田", "Кузнецов",
)  # fmt: skip
STREETS = (
    "Cedar Ave", "Chestnut St", "Dogwood Ln", "Elm St", "Hickory Rd", "Juniper Way", "Lakeview Dr", "Magnolia Blvd",
    "Maple Ct", "Mulberry Pl", "Orchard Rd", "Peachtree St", "Poplar Ter", "Ridge Rd", "Spruce St", "Sycamore Dr",
)  # fmt: skip
CITIES = (
    ("Ashford", "GA", "30002"), ("Bellmont", "TX", "75001"), ("Cañon Springs", "CO", "80014"),
    ("Dunmore", "PA", "18512"), ("Easton", "MD", "21601"), ("Fairhaven", "WA", "98225"),
    ("Granby", "QC", "J2G 1A1"), ("Holloway", "MN", "56249"),
)  # fmt: skip
TOPICS = (
    "Advent", "Alpha", "Baptism", "Bible Study", "Children's Hour", "Choir", "Coffee & Conversation", "Easter",
    "English Café", "Food Pantry", "Harvest", "Hope", "Men's Breakfast", "Missions", "New Here", "Prayer", "Youth",
    "Welcome Team", "Women's Retreat", "Worship Night",
)  # fmt: skip
SENTENCES = (
    "Called back and left a message.", "Asked for prayer.", "Wants to help with the “Harvest” day.",
    "Moved here last month;\nlooks for a small group.", "Prefers e-mail.", "Bring snacks 🍎 & water.",
    "Tel. after 6 p.m.", "Speaks français and español.", "See the file; the path is C:\\forms\\2024.", "",
)  # fmt: skip
SONGS = (
    "Abide with Me", "All Creatures of Our God", "Amazing Grace", "Be Thou My Vision", "Come Thou Fount",
    "Crown Him with Many Crowns", "Doxology", "Great Is Thy Faithfulness", "Holy, Holy, Holy", "It Is Well",
    "Joyful",
)  # fmt: skip
COLORS = ("#1f77b4", "#2ca02c", "#9467bd", "#d62728", "#ff7f0e")
