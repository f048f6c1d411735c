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
  int parameter = 0;  // n where a PREPARE says $n instead, from 1; the text is then empty
  int quote = 0;  // bytes of the opening quote: 1 for ', 2 and more for $$; 0 where none is known
};

// A literal: text, whole number, decimal number, ON/OFF/TRUE/FALSE, or a bare word (json, text, …).
struct Literal {
  std::variant<std::string, int64_t, double, bool> value;
  bool is_word = false;  // a bare word, in `value` as folded text
  SourceRange range;
  int parameter = 0;  // n where a PREPARE says $n instead, from 1; the value is then an empty text
  // A text whose type the sender left open: it is read as what its place calls for. Only values of
  // parameters are.
  bool is_untyped = false;
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
  std::optional<Text> file;  // kModule AS FILE 'path'; with a text, that is what the file had
  std::vector<Parameter> parameters;
  std::vector<Part> children;  // kModule AS ( … ), kUnion, kRole
};

struct Scaffold {
  Name name;
  std::vector<std::vector<Name>> members;  // paths of modules, or names of other scaffolds
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

// '<prompt …/>' in the markup of the paper's prototype.
struct PmlSource {
  Text text;
  std::optional<Name> model;  // USING model: the schema's model has to be this one
};

// SELECT GENERATE | TOKENS | LOGPROBS | EMBEDDING [(options)] FROM schema [USE …] [PROMPT …]
// [WITH (…)].
struct Select {
  enum class Kind { kGenerate, kTokens, kLogprobs, kEmbedding };
  Kind kind = Kind::kGenerate;
  SourceRange range;
  std::vector<Option> options;
  Name schema;  // empty with FROM PML
  // `schema` names a model: a prompt of new texts alone, as plain chats are. Not in the language.
  bool is_bare = false;
  std::optional<PmlSource> pml;  // FROM PML
  std::vector<UseItem> use;
  std::optional<Text> prompt;   // PROMPT 'text'
  std::vector<Text> prompt_in;  // PROMPT IN ('text', …): a row each
  std::vector<Option> with_options;
};

// ---- Queries of system tables ------------------------------------------------------------------

// A column, a function over one, a constant, or NULL.
struct Operand {
  enum class Kind { kColumn, kFunction, kConstant, kNull };
  Kind kind = Kind::kColumn;
  SourceRange range;
  Name name;                     // kColumn; kFunction: the function's, as "count"
  std::optional<Name> argument;  // kFunction: nullopt for (*)
  bool is_distinct = false;      // kFunction: (DISTINCT column)
  Literal constant;              // kConstant
};

// A tree of conditions.
struct Condition {
  enum class Kind { kAnd, kOr, kNot, kCompare, kIsNull, kLike, kIn, kBetween };
  enum class Comparison { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };
  Kind kind = Kind::kCompare;
  SourceRange range;
  std::vector<Condition> children;             // kAnd, kOr: two and more; kNot: one
  bool is_negated = false;                     // IS NOT NULL, NOT LIKE, NOT IN, NOT BETWEEN
  Comparison comparison = Comparison::kEqual;  // kCompare
  // kCompare: left, right;  kIsNull: what is tested;  kLike: what is tested, pattern;
  // kIn: what is tested, then the list;  kBetween: what is tested, least, most.
  std::vector<Operand> operands;
};

struct SelectItem {
  bool is_star = false;  // *: all columns; `value` is then empty
  Operand value;
  std::optional<Name> alias;  // AS name
  SourceRange range;
};

struct OrderItem {
  Operand value;
  bool is_descending = false;
};

// SELECT … FROM pc_table [WHERE …] [GROUP BY …] [ORDER BY …] [LIMIT n [OFFSET n]].
struct SystemSelect {
  SourceRange range;
  std::vector<SelectItem> items;
  Name table;  // "pc_modules"
  std::optional<Condition> where;
  std::vector<Operand> group_by;
  std::vector<OrderItem> order_by;
  std::optional<int64_t> limit;
  int64_t offset = 0;
};

using Query = std::variant<Select, SystemSelect>;

struct Explain {
  enum class Format { kText, kJson };
  Format format = Format::kText;
  bool analyze = false;
  Query query;
};

struct Prepare {
  Name name;
  Query query;
  int parameters = 0;  // the highest $n
};

struct Execute {
  Name name;
  std::vector<Literal> values;  // of $1, $2, …
};

struct Deallocate {
  Name name;
};

// ---- Changes to schemas
// --------------------------------------------------------------------------

// ALTER SCHEMA name ADD part | ADD SCAFFOLD … | DROP MODULE path | DROP SCAFFOLD name |
// RENAME TO name.
struct AlterSchema {
  struct DropModule {
    std::vector<Name> path;
  };
  struct DropScaffold {
    Name name;
  };
  struct Rename {
    Name name;
  };
  Name name;
  std::variant<Part, Scaffold, DropModule, DropScaffold, Rename> action;
};

struct ImportSchema {
  std::optional<Name> name;  // else the file's own
  Text path;
  Name model;
};

struct ExportSchema {
  Name schema;
  Text path;
};

// ---- Chats -----------------------------------------------------------------------------------

// BEGIN CHAT name FROM schema [USE …] [WITH (…)].
struct BeginChat {
  Name name;
  Name schema;
  std::vector<UseItem> use;
  std::vector<Option> with_options;
  SourceRange range;
};

// CONTINUE name [(options)] PROMPT 'text' [WITH (…)].
struct ContinueChat {
  Name name;
  std::vector<Option> options;  // as of GENERATE
  Text prompt;
  std::vector<Option> with_options;
};

// FORK name AS name.
struct ForkChat {
  Name from;
  Name to;
};

struct EndChat {
  Name name;
};

// ---- Cache and session -------------------------------------------------------------------------

// WARM schema [MODULE m, …].
struct Modules {
  Name schema;
  std::vector<std::vector<Name>> modules;  // empty: all that the schema has
};

struct Warm : Modules {};

// EXPORT STATES FROM schema [MODULE m, …] TO 'file'.
struct ExportStates : Modules {
  Text path;
};

// IMPORT STATES FROM 'file'.
struct ImportStates {
  Text path;
};

// PIN and UNPIN.
struct Pin : Modules {
  bool is_pinned = true;
};

struct Evict : Modules {
  enum class From { kEverywhere, kGpu, kCpu, kDisk };
  From from = From::kEverywhere;
};

// ALTER MODULE schema.path SET (option = value, …).
struct AlterModule {
  std::vector<Name> path;  // schema, then the module's path
  std::vector<Option> options;
};

struct Show {
  enum class What {
    kModels,
    kSchemas,
    kModules,
    kCache,
    kStats,
    kSettings,
    kChats,
    kConnections,
    kUsers,
    kGrants,
    kKeys
  };
  What what = What::kModels;
  std::optional<Name> from_schema;  // kModules
};

struct Describe {
  enum class What { kModel, kSchema, kModule };
  What what = What::kModel;
  std::vector<Name> path;  // kModule: schema, then the module's path
};

// ANALYZE MODEL name [FROM 'path'] [WITH (…)].
struct AnalyzeModel {
  Name name;
  std::optional<Text> path;
  std::vector<Option> options;
};

// ANALYZE: of this machine.
struct Analyze {};

struct Set {
  Name name;
  Literal value;
};

struct Reset {
  Name name;
};

struct CheckDatabase {};

struct Vacuum {};

// BACKUP [DATABASE] TO 'folder'.
struct Backup {
  Text path;
};

// RESTORE [DATABASE] FROM 'folder'.
struct Restore {
  Text path;
};

// ---- Users -------------------------------------------------------------------------------------

// CREATE USER [IF NOT EXISTS] name [PASSWORD 'text'] [WITH (…)].
struct CreateUser {
  bool if_not_exists = false;
  Name name;
  std::optional<Text> password;
  std::vector<Option> options;
};

// ALTER USER name PASSWORD 'text' | SET (…) | RENAME TO name | ADD KEY name | DROP KEY name.
struct AlterUser {
  struct SetPassword {
    Text password;
  };
  struct SetOptions {
    std::vector<Option> options;
  };
  struct Rename {
    Name name;
  };
  struct AddKey {
    Name name;
  };
  struct DropKey {
    Name name;
  };
  Name name;
  std::variant<SetPassword, SetOptions, Rename, AddKey, DropKey> action;
};

// DROP USER [IF EXISTS] name.
struct DropUser {
  bool if_exists = false;
  Name name;
};

// GRANT right, … ON DATABASE | MODEL name | SCHEMA name TO user, …; REVOKE … FROM ….
struct Grant {
  enum class On { kNothing, kDatabase, kModel, kSchema };
  bool is_grant = true;          // else REVOKE
  std::vector<Name> privileges;  // folded to lower case, keywords too
  On on = On::kNothing;
  Name object;  // kModel, kSchema
  std::vector<Name> users;
};

using StatementNode =
    std::variant<CreateModel, DropModel, CreateSchema, AlterSchema, DropSchema, ImportSchema,
                 ExportSchema, ImportStates, ExportStates, Select, SystemSelect, Explain, Prepare,
                 Execute, Deallocate, BeginChat, ContinueChat, ForkChat, EndChat, Warm, Pin, Evict,
                 AlterModule, Show, Describe, AnalyzeModel, Analyze, Set, Reset, CheckDatabase,
                 Vacuum, Backup, Restore, CreateUser, AlterUser, DropUser, Grant>;

struct Statement {
  StatementNode node;
  SourceRange range;  // without the closing semicolon
};

}  // namespace promptdb::ast

#endif  // PROMPTDB_PARSER_AST_H_
