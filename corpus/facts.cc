#include "corpus/facts.h"

#include <array>

#include "base/error.h"

namespace promptdb {
namespace {

template <size_t count>
using Texts = std::array<std::string_view, count>;

// --- towns ---

constexpr Texts<4> kTownNouns{"town", "village", "city", "harbour"};
constexpr Texts<4> kTownOpenings{
    "This page is about the {n} of {e}.", "A short guide to {e}, a {n} in the west.",
    "Welcome to {e}, a quiet {n}.", "The {n} of {e} lies between hills."};
constexpr Texts<8> kColours{"red", "blue", "green", "yellow", "black", "white", "brown", "grey"};
constexpr Texts<7> kWeekdays{"Monday", "Tuesday",  "Wednesday", "Thursday",
                             "Friday", "Saturday", "Sunday"};
constexpr Texts<8> kMaterials{"wood", "stone", "iron", "glass", "copper", "brick", "steel", "clay"};
constexpr Texts<4> kMayor{"The mayor of {e} is {v}.", "The people of {e} chose {v} as their mayor.",
                          "{v} is the mayor of {e}.", "The mayor who leads {e} is called {v}."};
constexpr Texts<3> kMayorQuestions{"Who is the mayor of {e}?",
                                   "What is the name of the mayor of {e}?",
                                   "Which person is the mayor of {e}?"};
constexpr Texts<4> kRiver{"The river of {e} is the {v}.",
                          "The river that flows through {e} is the {v}.",
                          "{e} stands on the river {v}.", "A river called the {v} runs past {e}."};
constexpr Texts<3> kRiverQuestions{"What is the river of {e}?", "Which river flows through {e}?",
                                   "What is the river called that runs past {e}?"};
constexpr Texts<4> kDish{
    "The best known dish of {e} is {v}.", "Cooks in {e} are proud of a dish called {v}.",
    "In {e} the dish that everybody eats is {v}.", "Guests of {e} are served {v}, the local dish."};
constexpr Texts<3> kDishQuestions{"What is the best known dish of {e}?",
                                  "Which dish is eaten in {e}?",
                                  "What is the local dish of {e} called?"};
constexpr Texts<4> kFestival{"The festival of {e} is called {v}.",
                             "Every year {e} celebrates a festival called {v}.",
                             "{v} is the great festival of {e}.",
                             "The streets of {e} are full when the festival {v} begins."};
constexpr Texts<3> kFestivalQuestions{"What is the festival of {e} called?",
                                      "Which festival does {e} celebrate?",
                                      "What is the name of the festival of {e}?"};
constexpr Texts<4> kTower{
    "The tower of {e} is {v} high.", "In {e} there is a tower, and it is {v} high.",
    "At {v}, the tower of {e} is seen from afar.", "The tower that stands in {e} rises to {v}."};
constexpr Texts<3> kTowerQuestions{"How high is the tower of {e}?",
                                   "What is the height of the tower of {e}?",
                                   "How high is the tower that stands in {e}?"};
constexpr Texts<4> kMarket{"The market of {e} opens at {v}.",
                           "Traders in {e} open the market at {v}.",
                           "At {v} the market of {e} opens.",
                           "Who wants to buy at the market of {e} can come from {v} on."};
constexpr Texts<3> kMarketQuestions{"When does the market of {e} open?",
                                    "At what time does the market of {e} open?",
                                    "From what time on can one buy at the market of {e}?"};
constexpr Texts<3> kTrams{"The trams of {e} are {v}.", "All trams in {e} are painted {v}.",
                          "The colour of the trams of {e} is {v}."};
constexpr Texts<3> kTramsQuestions{"What colour are the trams of {e}?",
                                   "Which colour do the trams of {e} have?",
                                   "In which colour are the trams of {e} painted?"};
constexpr Texts<4> kFounded{"{e} was founded in {v}.", "Settlers founded {e} in the year {v}.",
                            "In {v} the first houses of {e} were built.",
                            "The history of {e} begins in {v}, when it was founded."};
constexpr Texts<3> kFoundedQuestions{"When was {e} founded?", "In which year was {e} founded?",
                                     "In what year does the history of {e} begin?"};
constexpr Texts<3> kInhabitants{"{e} has {v} inhabitants.",
                                "The number of people who live in {e} is {v}.",
                                "About {v} people live in {e}."};
constexpr Texts<3> kInhabitantsQuestions{"How many inhabitants does {e} have?",
                                         "How many people live in {e}?",
                                         "What is the number of inhabitants of {e}?"};
constexpr Texts<3> kBridge{"The bridge of {e} is made of {v}.",
                           "Builders made the bridge of {e} of {v}.",
                           "A bridge of {v} leads into {e}."};
constexpr Texts<3> kBridgeQuestions{"What is the bridge of {e} made of?",
                                    "Of which material is the bridge of {e}?",
                                    "Which material was used for the bridge of {e}?"};

constexpr auto kTownAttributes = std::to_array<Attribute>({
    {ValueKind::kPersonName, {}, kMayor, kMayorQuestions, "the mayor of {e}"},
    {ValueKind::kName, {}, kRiver, kRiverQuestions, ""},
    {ValueKind::kWord, {}, kDish, kDishQuestions, ""},
    {ValueKind::kName, {}, kFestival, kFestivalQuestions, ""},
    {ValueKind::kMetres, {}, kTower, kTowerQuestions, ""},
    {ValueKind::kHour, {}, kMarket, kMarketQuestions, ""},
    {ValueKind::kOneOf, kColours, kTrams, kTramsQuestions, ""},
    {ValueKind::kYear, {}, kFounded, kFoundedQuestions, ""},
    {ValueKind::kCount, {}, kInhabitants, kInhabitantsQuestions, ""},
    {ValueKind::kOneOf, kMaterials, kBridge, kBridgeQuestions, ""},
});

// --- people ---

constexpr Texts<3> kPersonNouns{"person", "neighbour", "guest"};
constexpr Texts<4> kPersonOpenings{"This page is about {e}.", "A few words about {e}.",
                                   "Let me tell you about a {n}, {e}.",
                                   "Many people know {e} well."};
constexpr Texts<8> kJobs{"baker",   "teacher", "doctor", "farmer",
                         "painter", "sailor",  "tailor", "judge"};
constexpr Texts<7> kInstruments{"drum", "flute", "violin", "piano", "harp", "guitar", "trumpet"};
constexpr Texts<8> kCollections{"coins",  "stamps", "shells", "maps",
                                "clocks", "spoons", "hats",   "keys"};
constexpr Texts<8> kFears{"dogs", "spiders", "storms", "bees", "horses", "snakes", "mice", "geese"};
constexpr Texts<7> kDrinks{"tea", "coffee", "milk", "water", "juice", "cocoa", "lemonade"};
constexpr Texts<4> kJob{"The job of {e} is that of a {v}.", "As a job {e} has chosen to be a {v}.",
                        "{e} works as a {v}.", "Everybody says that {e} is a good {v}."};
constexpr Texts<3> kJobQuestions{"What is the job of {e}?", "What does {e} work as?",
                                 "Which job does {e} have?"};
constexpr Texts<4> kBirthplace{"{e} was born in {v}.", "The birthplace of {e} is {v}.",
                               "It was in {v} that {e} was born.",
                               "{e} comes from {v}, a place of birth to be proud of."};
constexpr Texts<3> kBirthplaceQuestions{"Where was {e} born?", "In which town was {e} born?",
                                        "What is the birthplace of {e}?"};
constexpr Texts<4> kPet{"The pet of {e} is called {v}.", "{e} has a pet whose name is {v}.",
                        "{v} is the name of the pet of {e}.",
                        "At home {e} looks after a pet, {v}."};
constexpr Texts<3> kPetQuestions{"What is the pet of {e} called?",
                                 "What is the name of the pet of {e}?",
                                 "Which pet does {e} look after?"};
constexpr Texts<3> kInstrument{"The instrument of {e} is the {v}.", "{e} plays the {v}.",
                               "In the evening one hears {e} play the {v}."};
constexpr Texts<3> kInstrumentQuestions{"Which instrument does {e} play?",
                                        "What is the instrument of {e}?",
                                        "What does {e} play in the evening?"};
constexpr Texts<4> kFood{"The favourite food of {e} is {v}.", "{e} likes to eat {v} most of all.",
                         "If {e} may choose what to eat, it is {v}.",
                         "The food that {e} likes best is {v}."};
constexpr Texts<3> kFoodQuestions{"What is the favourite food of {e}?",
                                  "What does {e} like to eat?", "Which food does {e} like most?"};
constexpr Texts<3> kAgeStatements{"The age of {e} is {v}.", "{e} is {v} years old.",
                                  "At the age of {v}, {e} is still curious."};
constexpr Texts<3> kAgeQuestions{"How old is {e}?", "What is the age of {e}?",
                                 "Which age has {e} reached?"};
constexpr Texts<4> kFriend{"The best friend of {e} is {v}.", "{e} has a best friend, {v}.",
                           "{v} is the best friend of {e}.",
                           "No friend is closer to {e} than {v}."};
constexpr Texts<3> kFriendQuestions{"Who is the best friend of {e}?",
                                    "What is the name of the best friend of {e}?",
                                    "Which person is the best friend of {e}?"};
constexpr Texts<3> kCollects{"{e} collects {v}.",
                             "The house of {e} is full of {v}, a large collection.",
                             "For years {e} has collected {v}."};
constexpr Texts<3> kCollectsQuestions{"What does {e} collect?", "What is in the collection of {e}?",
                                      "Which things does {e} collect?"};
constexpr Texts<3> kFear{"{e} is afraid of {v}.", "Nothing frightens {e} but {v}.",
                         "The great fear of {e} is of {v}."};
constexpr Texts<3> kFearQuestions{"What is {e} afraid of?", "What frightens {e}?",
                                  "Of which thing is {e} afraid?"};
constexpr Texts<3> kDrink{"The favourite drink of {e} is {v}.", "{e} drinks {v} every morning.",
                          "When {e} is thirsty, it has to be {v}."};
constexpr Texts<3> kDrinkQuestions{"What does {e} drink?", "What is the favourite drink of {e}?",
                                   "Which drink does {e} like most?"};

constexpr auto kPersonAttributes = std::to_array<Attribute>({
    {ValueKind::kOneOf, kJobs, kJob, kJobQuestions, ""},
    {ValueKind::kTownName, {}, kBirthplace, kBirthplaceQuestions, "the birthplace of {e}"},
    {ValueKind::kName, {}, kPet, kPetQuestions, ""},
    {ValueKind::kOneOf, kInstruments, kInstrument, kInstrumentQuestions, ""},
    {ValueKind::kWord, {}, kFood, kFoodQuestions, ""},
    {ValueKind::kAge, {}, kAgeStatements, kAgeQuestions, ""},
    {ValueKind::kPersonName, {}, kFriend, kFriendQuestions, "the best friend of {e}"},
    {ValueKind::kOneOf, kCollections, kCollects, kCollectsQuestions, ""},
    {ValueKind::kOneOf, kFears, kFear, kFearQuestions, ""},
    {ValueKind::kOneOf, kDrinks, kDrink, kDrinkQuestions, ""},
});

// --- products ---

constexpr Texts<8> kProductNouns{"Lamp",  "Clock",   "Kettle", "Radio",
                                 "Chair", "Bicycle", "Stove",  "Camera"};
constexpr Texts<4> kProductOpenings{"This page is about the {e}.", "The {e} is new in our shop.",
                                    "Thank you for choosing the {e}.",
                                    "Here are the facts about the {e}."};
constexpr Texts<4> kMaker{"The maker of the {e} is {v}.", "A company called {v} makes the {e}.",
                          "The {e} is made by {v}.", "{v} is the maker of the {e}."};
constexpr Texts<3> kMakerQuestions{"Who is the maker of the {e}?", "Which company makes the {e}?",
                                   "By which company is the {e} made?"};
constexpr Texts<4> kInventor{"The inventor of the {e} is {v}.", "It was {v} who invented the {e}.",
                             "The {e} was invented by {v}.", "{v} is the inventor of the {e}."};
constexpr Texts<3> kInventorQuestions{"Who is the inventor of the {e}?", "Who invented the {e}?",
                                      "By whom was the {e} invented?"};
constexpr Texts<4> kPriceStatements{"The price of the {e} is {v}.", "The {e} costs {v}.",
                                    "Buyers pay {v} for the {e}.", "For {v} the {e} is yours."};
constexpr Texts<3> kPriceQuestions{"What is the price of the {e}?", "How much does the {e} cost?",
                                   "How much do buyers pay for the {e}?"};
constexpr Texts<3> kColour{"The colour of the {e} is {v}.", "The {e} is painted {v}.",
                           "The {e} is sold in {v} only."};
constexpr Texts<3> kColourQuestions{"What colour is the {e}?", "In which colour is the {e} sold?",
                                    "Which colour does the {e} have?"};
constexpr Texts<3> kWeight{"The weight of the {e} is {v}.", "The {e} weighs {v}.",
                           "With a weight of {v} the {e} is easy to carry."};
constexpr Texts<3> kWeightQuestions{"What is the weight of the {e}?",
                                    "How much does the {e} weigh?", "How heavy is the {e}?"};
constexpr Texts<3> kMaterial{"The {e} is made of {v}.", "The case of the {e} is made of {v}.",
                             "Good {v} is the material of the {e}."};
constexpr Texts<3> kMaterialQuestions{"What is the {e} made of?",
                                      "Of which material is the {e} made?",
                                      "What is the material of the {e}?"};
constexpr Texts<3> kGuarantee{"The guarantee of the {e} lasts {v}.",
                              "The {e} has a guarantee of {v}.",
                              "For {v} the guarantee of the {e} covers all repairs."};
constexpr Texts<3> kGuaranteeQuestions{"How long does the guarantee of the {e} last?",
                                       "How long is the guarantee of the {e}?",
                                       "For how long does the {e} have a guarantee?"};
constexpr Texts<3> kMadeIn{"The factory of the {e} is in {v}.",
                           "Workers in {v} build the {e} in a factory.",
                           "The {e} leaves a factory in {v}."};
constexpr Texts<3> kMadeInQuestions{"Where is the factory of the {e}?",
                                    "In which town is the factory of the {e}?",
                                    "In which place do workers build the {e}?"};
constexpr Texts<3> kFirstSold{"The {e} was first sold in {v}.",
                              "The first {e} left the shop in {v}.",
                              "Since {v} the {e} has been sold."};
constexpr Texts<3> kFirstSoldQuestions{"When was the {e} first sold?",
                                       "In which year was the {e} first sold?",
                                       "Since which year has the {e} been sold?"};

constexpr auto kProductAttributes = std::to_array<Attribute>({
    {ValueKind::kName, {}, kMaker, kMakerQuestions, ""},
    {ValueKind::kPersonName, {}, kInventor, kInventorQuestions, "the inventor of the {e}"},
    {ValueKind::kPrice, {}, kPriceStatements, kPriceQuestions, ""},
    {ValueKind::kOneOf, kColours, kColour, kColourQuestions, ""},
    {ValueKind::kKilos, {}, kWeight, kWeightQuestions, ""},
    {ValueKind::kOneOf, kMaterials, kMaterial, kMaterialQuestions, ""},
    {ValueKind::kYears, {}, kGuarantee, kGuaranteeQuestions, ""},
    {ValueKind::kTownName, {}, kMadeIn, kMadeInQuestions, "the town where the {e} is built"},
    {ValueKind::kYear, {}, kFirstSold, kFirstSoldQuestions, ""},
});

// --- venues and their rules ---

constexpr Texts<7> kVenueNouns{"Museum", "Library", "Theatre", "Zoo", "Bath", "Park", "Gallery"};
constexpr Texts<4> kVenueOpenings{"This page is about the {e}.", "Welcome to the {e}.",
                                  "These are the rules of the {e}.",
                                  "A visit to the {e} is worth the way."};
constexpr Texts<8> kForbidden{"run", "smoke", "sing", "eat", "whistle", "sleep", "shout", "dance"};
constexpr Texts<8> kGifts{"cake",   "map",     "ticket",   "flower",
                          "pencil", "balloon", "postcard", "biscuit"};
constexpr Texts<4> kTicket{
    "A ticket for the {e} costs {v}.", "Visitors of the {e} pay {v} for a ticket.",
    "For {v} one gets a ticket for the {e}.", "The price of a ticket for the {e} is {v}."};
constexpr Texts<3> kTicketQuestions{"How much does a ticket for the {e} cost?",
                                    "What is the price of a ticket for the {e}?",
                                    "How much do visitors of the {e} pay?"};
constexpr Texts<4> kOpens{"The {e} opens at {v}.", "The doors of the {e} open at {v}.",
                          "At {v} the {e} opens for everybody.",
                          "Nobody may enter the {e} before {v}."};
constexpr Texts<3> kOpensQuestions{"When does the {e} open?", "At what time does the {e} open?",
                                   "At what time do the doors of the {e} open?"};
constexpr Texts<4> kClosed{"The {e} is closed on {v}.", "On {v} the {e} stays closed.",
                           "Do not come to the {e} on {v}, when it is closed.",
                           "The day on which the {e} is closed is {v}."};
constexpr Texts<3> kClosedQuestions{"On which day is the {e} closed?", "When is the {e} closed?",
                                    "Which is the day on which the {e} stays closed?"};
constexpr Texts<4> kDirector{"The director of the {e} is {v}.", "{v} is the director of the {e}.",
                             "The {e} has a new director, {v}.",
                             "The director who runs the {e} is called {v}."};
constexpr Texts<3> kDirectorQuestions{"Who is the director of the {e}?",
                                      "What is the name of the director of the {e}?",
                                      "Which person is the director of the {e}?"};
constexpr Texts<4> kRule{"In the {e} it is forbidden to {v}.", "Guests of the {e} must not {v}.",
                         "Whoever starts to {v} has to leave the {e}.",
                         "It is forbidden to {v} in the {e}."};
constexpr Texts<3> kRuleQuestions{"What is forbidden in the {e}?",
                                  "What must guests of the {e} not do?",
                                  "What is it forbidden to do in the {e}?"};
constexpr Texts<3> kBuilt{"The {e} was built in {v}.", "Workers built the {e} in the year {v}.",
                          "In {v} the {e} was built."};
constexpr Texts<3> kBuiltQuestions{"When was the {e} built?", "In which year was the {e} built?",
                                   "In what year did workers build the {e}?"};
constexpr Texts<3> kPlace{"The {e} stands in {v}.", "The {e} is a part of the town of {v}.",
                          "One finds the {e} in the town of {v}."};
constexpr Texts<3> kPlaceQuestions{"Where does the {e} stand?", "In which town is the {e}?",
                                   "In which town does one find the {e}?"};
constexpr Texts<3> kGift{"Every child gets a free {v} at the {e}.",
                         "At the {e} children get a {v} for free.",
                         "Children like the {e}, where they get a free {v}."};
constexpr Texts<3> kGiftQuestions{"What do children get at the {e}?",
                                  "What does every child get at the {e}?",
                                  "What is free for children at the {e}?"};
constexpr Texts<3> kArchitect{"The architect of the {e} was {v}.",
                              "An architect called {v} planned the {e}.",
                              "The {e} was planned by the architect {v}."};
constexpr Texts<3> kArchitectQuestions{"Who was the architect of the {e}?",
                                       "Which architect planned the {e}?",
                                       "What is the name of the architect of the {e}?"};

constexpr auto kVenueAttributes = std::to_array<Attribute>({
    {ValueKind::kPrice, {}, kTicket, kTicketQuestions, ""},
    {ValueKind::kHour, {}, kOpens, kOpensQuestions, ""},
    {ValueKind::kOneOf, kWeekdays, kClosed, kClosedQuestions, ""},
    {ValueKind::kPersonName, {}, kDirector, kDirectorQuestions, "the director of the {e}"},
    {ValueKind::kOneOf, kForbidden, kRule, kRuleQuestions, ""},
    {ValueKind::kYear, {}, kBuilt, kBuiltQuestions, ""},
    {ValueKind::kTownName, {}, kPlace, kPlaceQuestions, "the town where the {e} stands"},
    {ValueKind::kOneOf, kGifts, kGift, kGiftQuestions, ""},
    {ValueKind::kPersonName, {}, kArchitect, kArchitectQuestions, "the architect of the {e}"},
});

constexpr Thing kTown{ThingKind::kTown, kTownNouns, kTownOpenings, kTownAttributes};
constexpr Thing kPerson{ThingKind::kPerson, kPersonNouns, kPersonOpenings, kPersonAttributes};
constexpr Thing kProduct{ThingKind::kProduct, kProductNouns, kProductOpenings, kProductAttributes};
constexpr Thing kVenue{ThingKind::kVenue, kVenueNouns, kVenueOpenings, kVenueAttributes};

}  // namespace

const Thing& ThingOf(ThingKind kind) {
  switch (kind) {
    case ThingKind::kTown:
      return kTown;
    case ThingKind::kPerson:
      return kPerson;
    case ThingKind::kProduct:
      return kProduct;
    case ThingKind::kVenue:
      return kVenue;
  }
  Check(false, "a kind of things has no facts");
  return kTown;
}

}  // namespace promptdb
