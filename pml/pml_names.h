// The words of PML. Those with the prefix promptdb: are this project's own, for what a schema here
// can say and the prototype's markup can't: they make EXPORT SCHEMA and IMPORT SCHEMA a round trip.
// docs/pml.md explains them; files depend on them, so they must never change.
#ifndef PROMPTDB_PML_PML_NAMES_H_
#define PROMPTDB_PML_PML_NAMES_H_

#include <string_view>

namespace promptdb::pml {

inline constexpr std::string_view kSchema = "schema";
inline constexpr std::string_view kModule = "module";
inline constexpr std::string_view kUnion = "union";
inline constexpr std::string_view kParameter = "parameter";
inline constexpr std::string_view kSystem = "system";
inline constexpr std::string_view kUser = "user";
inline constexpr std::string_view kAssistant = "assistant";
inline constexpr std::string_view kPrompt = "prompt";

inline constexpr std::string_view kNamespace = "urn:promptdb:pml";
// Elements: a text of its own, taken as it stands; a character that XML doesn't have; a scaffold
// and its members.
inline constexpr std::string_view kText = "promptdb:text";
inline constexpr std::string_view kCharacter = "promptdb:character";
inline constexpr std::string_view kScaffold = "promptdb:scaffold";
inline constexpr std::string_view kMember = "promptdb:member";
// Attributes: WITH (separator = …, portable = …); "ignored" where white space between tags is no
// text; the file that a module's text was read from; a parameter's place in the module's list,
// from 1.
inline constexpr std::string_view kSeparator = "promptdb:separator";
inline constexpr std::string_view kPortable = "promptdb:portable";
inline constexpr std::string_view kBlanks = "promptdb:blanks";
inline constexpr std::string_view kFile = "promptdb:file";
inline constexpr std::string_view kIndex = "promptdb:index";

}  // namespace promptdb::pml

#endif  // PROMPTDB_PML_PML_NAMES_H_
