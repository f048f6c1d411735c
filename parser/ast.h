// The abstract syntax tree of PromptQL: what a statement says, before any name in it is looked up.
//
// Plain values, owned by the Statement. Every node that an error may have to point at carries its
// SourceRange in the text given to Parse().
#ifndef PROMPTDB_PARSER_AST_H_
#define PROMPTDB_PARSER_AST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"

namespace promptdb::ast {

// An identifier: folded to lower case unless it was "quoted".
struct Name {
  std::string text;
  SourceRange range;
};

// 'text' or $$text$$, unescaped; the range covers the quotes.
struct Text {
  std::string text;
  SourceRange range;
};

// A literal: text, whole number, decimal number, ON/OFF/TRUE/FALSE, or a bare word (json, text, …).
struct Literal {
  std::variant<std::string, int64_t, double, bool> value;
  bool is_word = false;  // a bare word, in `value` as folded text
  SourceRange range;
};

// name = value or name => value.
struct Option {
  Name name;
  Literal value;
};

// ---- Schemas ---------------------------------------------------------------------------------

enum class Role { kNone, kSystem, kUser, kAssistant };

struct Parameter {
  Name name;
  int64_t tokens = 0;
  SourceRange tokens_range;
  std::optional<Text> default_value;
};

struct Part {
  enum class Kind {
    kText,    // TEXT 'text': anonymous, always in the prompt
    kModule,  // MODULE name [(parameters)] AS 'text' | FILE 'path' | ( parts )
    kUnion,   // UNION name ( parts )
    kRole,    // SYSTEM | USER | ASSISTANT, 'text' or ( parts ): a bare text is one kText child
  };
  Kind kind = Kind::kText;
  SourceRange range;         // the whole part
  std::optional<Name> name;  // kModule, kUnion
  Role role = Role::kNone;   // kRole
  std::optional<Text> text;  // kText, kModule AS 'text'
  std::optional<Text> file;  // kModule AS FILE 'path'
  std::vector<Parameter> parameters;
  std::vector<Part> children;  // kModule AS ( … ), kUnion, kRole
};

struct Scaffold {
  Name name;
  std::vector<Name> members;
  SourceRange range;
};

// ---- Statements ------------------------------------------------------------------------------

struct CreateModel {
  bool or_replace = false;
  bool if_not_exists = false;
  Name name;
  Text path;
  std::vector<Option> options;
};

struct DropModel {
  bool if_exists = false;
  bool cascade = false;
  Name name;
};

struct CreateSchema {
  bool or_replace = false;
  bool if_not_exists = false;
  Name name;
  Name model;
  std::vector<Option> options;
  std::vector<Part> parts;
  std::vector<Scaffold> scaffolds;
};

struct DropSchema {
  bool if_exists = false;
  Name name;
};

struct UseArgument {
  Name name;
  Text value;
};

struct UseItem {
  enum class Kind { kModule, kText, kRoleText };
  Kind kind = Kind::kModule;
  SourceRange range;
  std::vector<Name> path;              // kModule: parent.child is two names
  std::vector<UseArgument> arguments;  // kModule
  Role role = Role::kNone;             // kRoleText: USER 'text', ASSISTANT 'text'
  std::optional<Text> text;            // kText, kRoleText
};

// SELECT GENERATE [(options)] FROM schema [USE …] [PROMPT '…'] [WITH (…)].
struct Select {
  SourceRange range;
  std::vector<Option> generate_options;
  Name schema;
  std::vector<UseItem> use;
  std::optional<Text> prompt;
  std::vector<Option> with_options;
};

struct Explain {
  enum class Format { kText, kJson };
  Format format = Format::kText;
  bool analyze = false;
  Select query;
};

// WARM schema [MODULE m, …].
struct Warm {
  Name schema;
  std::vector<std::vector<Name>> modules;  // empty: every module of the schema
};

struct Show {
  enum class What { kModels, kSchemas, kModules, kCache, kStats, kSettings };
  What what = What::kModels;
  std::optional<Name> from_schema;  // kModules
};

struct Describe {
  enum class What { kModel, kSchema, kModule };
  What what = What::kModel;
  std::vector<Name> path;  // kModule: schema, then the module's path
};

struct Set {
  Name name;
  Literal value;
};

struct Reset {
  Name name;
};

// Parsed whole, but with no meaning in this release.
struct Unsupported {
  std::string statement;  // as a user would name it: "ALTER SCHEMA", "PROMPT IN", "SELECT TOKENS"
  SourceRange range;
};

using StatementNode = std::variant<CreateModel, DropModel, CreateSchema, DropSchema, Select,
                                   Explain, Warm, Show, Describe, Set, Reset, Unsupported>;

struct Statement {
  StatementNode node;
  SourceRange range;  // without the closing semicolon
};

}  // namespace promptdb::ast

#endif  // PROMPTDB_PARSER_AST_H_
