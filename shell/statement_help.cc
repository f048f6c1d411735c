#include "shell/statement_help.h"

#include <algorithm>

namespace promptdb {

namespace {

constexpr auto kTopics = std::to_array<StatementHelp>({
    {"CREATE MODEL", "gives a name to a model's weights on disk",
     R"(CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name FROM 'path'
    [WITH (option = value, ...)];
  path: a GGUF file, or a Hugging Face folder (config.json, *.safetensors,
        tokenizer.json)
  options: dtype ('stored' | 'f32' | 'bf16'), device ('cpu' | 'cuda:0' | 'host'),
           kv_dtype ('auto' | 'f32' | 'bf16' | 'int8' | 'int4'),
           chat_template ('auto' | 'plain' | 'chatml' | 'llama2' | 'llama3' |
                          'mistral' | 'gemma' | 'falcon'))",
     "CREATE MODEL stories FROM 'stories260K.gguf';"},
    {"DROP MODEL", "forgets a model; CASCADE drops its schemas as well",
     "DROP MODEL [IF EXISTS] name [CASCADE];", "DROP MODEL IF EXISTS stories CASCADE;"},
    {"CREATE SCHEMA", "declares the parts that prompts are made of",
     R"(CREATE [OR REPLACE] SCHEMA [IF NOT EXISTS] name USING model
    [WITH (separator = 'text')] (part, ...);
  part: TEXT 'text'                  always in the prompt
      | SYSTEM 'text'                always in the prompt, with a chat role
      | MODULE m AS 'text'           in the prompt when a query uses it
      | MODULE m AS FILE 'path'
      | MODULE m AS (part, ...)      a module made of parts
      | MODULE m (p TOKENS(n) [DEFAULT 'text'], ...) AS 'text with {p}'
      | UNION u (MODULE ..., ...)    at most one of its members in a prompt
      | USER (part, ...)             a role around parts; also SYSTEM, ASSISTANT
      | SCAFFOLD s (m, ...)          modules that also attend to each other)",
     R"(CREATE SCHEMA trips USING stories (
    TEXT 'You plan trips.',
    UNION place (MODULE beach AS 'To the beach.', MODULE city AS 'To the city.'),
    MODULE lily AS 'For a girl named Lily.'
);)"},
    {"ALTER SCHEMA", "changes a schema, and keeps the states of what stays where it was",
     R"(ALTER SCHEMA name ADD part;
ALTER SCHEMA name DROP MODULE m;
ALTER SCHEMA name DROP SCAFFOLD s;
ALTER SCHEMA name RENAME TO other;)",
     "ALTER SCHEMA trips ADD MODULE winter AS 'It is cold.';"},
    {"IMPORT SCHEMA", "reads a schema in PML, the markup of the paper's prototype",
     R"(IMPORT SCHEMA [name] FROM PML 'file.xml' USING model;
  elements: <schema name>, <module name src cache>, <union scaffold>,
            <parameter name length scaffold>, <system>, <user>, <assistant>)",
     "IMPORT SCHEMA FROM PML 'travel.xml' USING stories;"},
    {"EXPORT SCHEMA", "writes a schema as PML that imports as the same schema",
     "EXPORT SCHEMA name TO PML 'file.xml';", "EXPORT SCHEMA trips TO PML 'trips.xml';"},
    {"DROP SCHEMA", "drops a schema and its cached states", "DROP SCHEMA [IF EXISTS] name;",
     "DROP SCHEMA IF EXISTS trips;"},
    {"SELECT GENERATE", "builds a prompt from cached modules and generates text",
     R"(SELECT GENERATE [(option => value, ...)] FROM schema
    [USE item, ...] [PROMPT 'text' | PROMPT IN ('text', ...)]
    [WITH (option = value, ...)];
  options: max_tokens, temperature, top_k, top_p, min_p, seed,
           repetition_penalty, presence_penalty, frequency_penalty, ignore_eos,
           logprobs, stop (may be given several times), grammar (GBNF) or
           json_schema: what the answer must look like
  item: module | module(p => 'value', ...) | parent.child | 'free text'
      | USER 'text' | ASSISTANT 'text'
  A prompt that ends in a USER goes on with the words that open the answer.
  WITH: reuse = 'modular' | 'exact' | 'none', cache = on | off
  FROM PML '<prompt schema="s"><m p="value"/>text</prompt>' [USING model]
        instead of FROM schema runs a prompt in PML)",
     "SELECT GENERATE (max_tokens => 40) FROM trips USE beach, lily PROMPT 'One day, ';"},
    {"SELECT FROM", "asks a system table: what there is, what is cached",
     R"(SELECT result, ... FROM table [WHERE condition] [GROUP BY column, ...]
    [ORDER BY result [ASC | DESC], ...] [LIMIT n [OFFSET n]];
  table: pc_models, pc_schemas, pc_modules, pc_states, pc_blocks, pc_chats,
         pc_accuracy, pc_stats, pc_settings, pc_tables, pc_columns (\d and a
         table lists its columns)
  result: * | column [AS name] | constant | count(*)
        | count(column), sum, min, max, avg; also with DISTINCT
  condition: = <> < <= > >=, [NOT] LIKE 'a%', [NOT] IN (constant, ...),
             [NOT] BETWEEN a AND b, IS [NOT] NULL; with AND, OR, NOT (...))",
     "SELECT tier, count(*), sum(bytes) FROM pc_modules GROUP BY tier ORDER BY sum(bytes) DESC;"},
    {"SELECT TOKENS", "shows a prompt's tokens, their positions and parts",
     "SELECT TOKENS FROM schema [USE item, ...] [PROMPT 'text'] [WITH (...)];",
     "SELECT TOKENS FROM trips USE beach PROMPT 'One day, ';"},
    {"SELECT LOGPROBS", "tells how likely each token of a prompt was, and what would come next",
     R"(SELECT LOGPROBS [(top => n)] FROM schema [USE item, ...] [PROMPT 'text']
    [WITH (...)];)",
     "SELECT LOGPROBS (top => 5) FROM trips USE beach PROMPT 'One day, ';"},
    {"SELECT EMBEDDING", "gives a prompt's last hidden state as a vector",
     R"(SELECT EMBEDDING [(pooling => last | mean, normalize => on | off)]
    FROM schema [USE item, ...] [PROMPT 'text'] [WITH (...)];)",
     "SELECT EMBEDDING FROM trips USE beach PROMPT 'One day, ';"},
    {"PREPARE", "keeps a query with places for values, as long as the session",
     "PREPARE name AS query with $1, $2, ...;",
     "PREPARE ask AS SELECT GENERATE FROM trips USE beach PROMPT $1;"},
    {"EXECUTE", "runs a prepared query with values", "EXECUTE name [(value, ...)];",
     "EXECUTE ask('One day, ');"},
    {"DEALLOCATE", "forgets a prepared query", "DEALLOCATE name;", "DEALLOCATE ask;"},
    {"BEGIN CHAT", "begins a conversation over a schema's modules",
     R"(BEGIN CHAT name FROM schema [USE item, ...] [WITH (option = value, ...)];
  item: as of SELECT GENERATE
  WITH: reuse = 'modular' | 'exact' | 'none', cache = on | off
  What the chat begins with is settled here: later changes of the schema do not
  reach it. It lasts, over restarts too, until END CHAT.)",
     "BEGIN CHAT tour FROM trips USE beach, lily;"},
    {"CONTINUE", "says the next words of a chat, and generates the answer",
     R"(CONTINUE name [(option => value, ...)] PROMPT 'text' [WITH (cache = on | off)];
  options: as of SELECT GENERATE
  Nothing is computed or tokenized twice: the states of all turns are kept.)",
     "CONTINUE tour (max_tokens => 40) PROMPT 'What shall we see first?';"},
    {"FORK", "copies a chat, so that it can go on in two ways",
     R"(FORK name AS name;
  Both share the states of what was said so far; nothing is copied.)",
     "FORK tour AS other_tour;"},
    {"END CHAT", "forgets a chat, and the states that no fork of it needs", "END CHAT name;",
     "END CHAT tour;"},
    {"EXPLAIN", "shows a query's plan; ANALYZE runs it and shows what happened",
     "EXPLAIN [(FORMAT TEXT | JSON)] [ANALYZE] query;",
     "EXPLAIN ANALYZE SELECT GENERATE FROM trips USE beach PROMPT 'One day, ';"},
    {"ANALYZE", "measures how fast this machine is, for the planner's choices",
     R"(ANALYZE;
  Takes a few seconds; best on a machine that does nothing else. The figures are
  kept in the database, for this processor and number of threads.)",
     "ANALYZE;"},
    {"ANALYZE MODEL", "measures how well a model answers in each way of reuse",
     R"(ANALYZE MODEL name [FROM 'path'] [WITH (option = value, ...)];
  path: questions, a JSON object a line: {"input": "Who?", "context": "...",
        "answers": ["..."]}, as LongBench has them; or a plain text, .txt.
        Without it: invented questions, and stories where the model can't answer.
  options: questions (100), seed (1), max_tokens (24),
           measure ('auto' | 'answers' | 'text'),
           template ('Question: {input} Answer:', in two lines)
  DESCRIBE MODEL shows the result. Queries then warn of a way of reuse that loses
  more than the settings accuracy_tolerance and kl_tolerance allow.)",
     "ANALYZE MODEL stories WITH (questions = 20);"},
    {"WARM", "encodes modules now, so that the first query finds them cached",
     "WARM schema [MODULE m, ...];", "WARM trips MODULE beach, city;"},
    {"PIN", "brings modules into memory and keeps them there",
     R"(PIN schema [MODULE m, ...];
  All pins together take at most the setting pin_cache.)",
     "PIN trips MODULE beach;"},
    {"UNPIN", "lets pinned modules go again when room is needed", "UNPIN schema [MODULE m, ...];",
     "UNPIN trips;"},
    {"EVICT", "drops the states of modules; they are computed again when used",
     R"(EVICT schema [MODULE m, ...] [FROM GPU | CPU | DISK];
  FROM CPU: from memory alone. Pinned modules stay.)",
     "EVICT trips MODULE beach FROM CPU;"},
    {"ALTER MODULE", "says how long, and how firmly, a module's states are kept",
     R"(ALTER MODULE schema.module SET (option = value, ...);
  options: ttl ('90s' | '15min' | '1h' | '7d' | 0: for ever), priority (0),
           pinned (on | off))",
     "ALTER MODULE trips.beach SET (ttl = '1h', priority = 10);"},
    {"SHOW", "lists what the database holds, and how the cache does",
     "SHOW MODELS | SCHEMAS | MODULES [FROM schema] | CACHE | STATS | SETTINGS\n     | CHATS | "
     "CONNECTIONS | USERS | GRANTS | KEYS;",
     "SHOW MODULES FROM trips;"},
    {"DESCRIBE", "shows one model, schema or module in detail",
     "DESCRIBE MODEL m | SCHEMA s | MODULE s.m;", "DESCRIBE SCHEMA trips;"},
    {"CREATE USER", "lets somebody into a server of this database",
     R"(CREATE USER [IF NOT EXISTS] name [PASSWORD 'text'] [WITH (option = value, ...)];
  options: admin (on | off), disabled (on | off), tokens_per_day (0: no limit),
           state_bytes ('1GB'; 0: no limit)
  The first user has to be an admin. Statements with a password are kept out of
  the history.)",
     "CREATE USER ada WITH (tokens_per_day = 100000);"},
    {"ALTER USER", "changes a user's password, quotas, name or keys for HTTP",
     R"(ALTER USER name PASSWORD 'text';       ALTER USER name SET (option = value, ...);
ALTER USER name ADD KEY key;           ALTER USER name DROP KEY key;
ALTER USER name RENAME TO other;
  ADD KEY shows the key once.)",
     "ALTER USER ada ADD KEY laptop;"},
    {"DROP USER", "drops a user, with the user's chats and states", "DROP USER [IF EXISTS] name;",
     "DROP USER ada;"},
    {"GRANT", "allows users something that they may not do",
     R"(GRANT right, ... ON DATABASE | MODEL m | SCHEMA s TO user | PUBLIC, ...;
  rights: USAGE (to query), ADMIN (to change; of a model or schema), CREATE (of
          schemas; on the database), ALL)",
     "GRANT USAGE ON SCHEMA trips TO ada;"},
    {"REVOKE", "takes back what GRANT has allowed",
     "REVOKE right, ... ON DATABASE | MODEL m | SCHEMA s FROM user | PUBLIC, ...;",
     "REVOKE USAGE ON SCHEMA trips FROM ada;"},
    {"CHECK DATABASE", "reads and checks everything on disk, and drops damaged states",
     R"(CHECK DATABASE;
  States that are dropped are computed again when they are used.
  pcsh --check does the same, and exits with 1 if anything was damaged.)",
     "CHECK DATABASE;"},
    {"BACKUP", "copies the whole database into a new folder, while it is in use",
     R"(BACKUP [DATABASE] TO 'folder';
  Models' weights are not in it: they stay the files that CREATE MODEL named.)",
     "BACKUP DATABASE TO 'backup-monday';"},
    {"RESTORE", "brings a backup into an empty database, checking all of it",
     R"(RESTORE [DATABASE] FROM 'folder';
  Only into a database without models and schemas.)",
     "RESTORE DATABASE FROM 'backup-monday';"},
    {"EXPORT STATES", "writes a schema's cached states into a file, for another machine",
     R"(EXPORT STATES FROM schema [MODULE m, ...] TO 'file';
  The file must be new. Without modules it also has what exact reuse has kept
  under the schema's name: texts of prompts and answers among them.)",
     "EXPORT STATES FROM trips TO 'trips.states';"},
    {"IMPORT STATES", "brings the states of such a file into the cache, checking all of it",
     R"(IMPORT STATES FROM 'file';
  Takes states of the models that are here: those of the same weights, tokenizer,
  chat template, dtype and kv_dtype. Passes over states that are there already.)",
     "IMPORT STATES FROM 'trips.states';"},
    {"VACUUM", "compacts the database's files", "VACUUM;", "VACUUM;"},
    {"SET", "changes a setting of this session", "SET name = value;", "SET threads = 2;"},
    {"RESET", "gives a setting its default again", "RESET name;", "RESET threads;"},
});

char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// Upper case, one blank between words, no semicolon.
std::string Normalize(std::string_view topic) {
  std::string out;
  for (const char c : topic) {
    if (c == ';') continue;
    if (c == ' ' || c == '\t') {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out += Upper(c);
    }
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

std::string Indented(std::string_view text) {
  std::string out = "  ";
  for (const char c : text) {
    out += c;
    if (c == '\n') out += "  ";
  }
  return out + '\n';
}

}  // namespace

std::span<const StatementHelp> StatementHelpTopics() { return kTopics; }

std::string StatementHelpText(std::string_view topic) {
  const std::string wanted = Normalize(topic);
  std::string out;
  if (wanted.empty()) {
    out = "Statements (\\h and a name shows one with an example):\n";
    for (const StatementHelp& help : kTopics) {
      std::string name(help.name);
      name.resize(std::max<size_t>(name.size(), 18), ' ');
      out += "  " + name + std::string(help.purpose) + "\n";
    }
    return out;
  }
  for (const StatementHelp& help : kTopics) {
    if (!help.name.starts_with(wanted)) continue;
    if (!out.empty()) out += "\n";
    out += std::string(help.name) + " " + std::string(help.purpose) + "\n\n" +
           Indented(help.synopsis) + "\n  For example:\n" + Indented(help.example);
  }
  return out;
}

}  // namespace promptdb
