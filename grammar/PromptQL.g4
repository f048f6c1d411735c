/*
 * PromptQL, whole. Later releases add meaning to statements, not syntax.
 *
 * The parser rules are what the program runs. The lexer rules define the tokens; at run time the
 * tokens come from parser/scanner.cc, which does the same job many times faster on texts of
 * megabytes and also knows $tag$ quotes, which no lexer rule can match. tests/grammar_test.cc holds
 * the two against each other. Keywords are matched without regard to case: a reader that uses the
 * lexer rules feeds them text in upper case.
 *
 * A rule that people should see named in an error ("a schema name") gets its words in
 * parser/syntax_error.cc; that is why there is one rule for each sort of name.
 */
grammar PromptQL;

singleStatement
    : statement EOF
    ;

// ---- Statements --------------------------------------------------------------------------------

statement
    : CREATE (OR REPLACE)? MODEL (IF NOT EXISTS)? modelName FROM text withOptions?  # createModel
    | DROP MODEL (IF EXISTS)? modelName CASCADE?                                    # dropModel
    | CREATE (OR REPLACE)? SCHEMA (IF NOT EXISTS)? schemaName USING modelName withOptions?
        '(' schemaElement (',' schemaElement)* ')'                                  # createSchema
    | ALTER SCHEMA schemaName alterSchemaAction                                     # alterSchema
    | DROP SCHEMA (IF EXISTS)? schemaName                                           # dropSchema
    | IMPORT SCHEMA schemaName? FROM PML text USING modelName                       # importSchema
    | EXPORT SCHEMA schemaName TO PML text                                          # exportSchema
    | IMPORT STATES FROM text                                                       # importStates
    | EXPORT STATES FROM schemaName moduleList? TO text                             # exportStates
    | query                                                                         # queryStatement
    | EXPLAIN explainOptions? ANALYZE? query                                        # explain
    | PREPARE preparedName AS query                                                 # prepare
    | EXECUTE preparedName ('(' literal (',' literal)* ')')?                        # execute
    | DEALLOCATE preparedName                                                       # deallocate
    | BEGIN CHAT chatName FROM schemaName useClause? withOptions?                   # beginChat
    | CONTINUE chatName optionList? PROMPT textValue withOptions?                   # continueChat
    | FORK chatName AS chatName                                                     # forkChat
    | END CHAT chatName                                                             # endChat
    | WARM schemaName moduleList?                                                   # warm
    | PIN schemaName moduleList?                                                    # pin
    | UNPIN schemaName moduleList?                                                  # unpin
    | EVICT schemaName moduleList? (FROM (GPU | CPU | DISK))?                       # evict
    | ALTER MODULE schemaName '.' modulePath SET optionList                         # alterModule
    | SHOW (MODELS | SCHEMAS | CACHE | STATS | SETTINGS | CHATS | CONNECTIONS
        | USERS | GRANTS | KEYS)                                                    # show
    | SHOW MODULES (FROM schemaName)?                                               # showModules
    | DESCRIBE MODEL modelName                                                      # describeModel
    | DESCRIBE SCHEMA schemaName                                                    # describeSchema
    | DESCRIBE MODULE schemaName '.' modulePath                                     # describeModule
    | SET settingName '=' literal                                                   # set
    | RESET settingName                                                             # reset
    | CHECK DATABASE                                                                # checkDatabase
    | VACUUM                                                                        # vacuum
    | ANALYZE MODEL modelName (FROM text)? withOptions?                             # analyzeModel
    | ANALYZE                                                                       # analyze
    | BACKUP DATABASE? TO text                                                      # backup
    | RESTORE DATABASE? FROM text                                                   # restore
    | CREATE USER (IF NOT EXISTS)? userName (PASSWORD text)? withOptions?           # createUser
    | ALTER USER userName alterUserAction                                           # alterUser
    | DROP USER (IF EXISTS)? userName                                               # dropUser
    | GRANT privilege (',' privilege)* (ON grantObject)? TO userName (',' userName)*     # grant
    | REVOKE privilege (',' privilege)* (ON grantObject)? FROM userName (',' userName)*  # revoke
    ;

alterSchemaAction
    : ADD schemaElement
    | DROP MODULE modulePath
    | DROP SCAFFOLD scaffoldName
    | RENAME TO schemaName
    ;

alterUserAction
    : PASSWORD text
    | SET optionList
    | RENAME TO userName
    | ADD KEY keyName
    | DROP KEY keyName
    ;

privilege
    : SELECT
    | CREATE
    | name
    ;

grantObject
    : DATABASE
    | MODEL modelName
    | SCHEMA schemaName
    ;

moduleList
    : MODULE modulePath (',' modulePath)*
    ;

explainOptions
    : '(' FORMAT (TEXT | JSON) ')'
    ;

// ---- Schemas -----------------------------------------------------------------------------------

schemaElement
    : part
    | scaffold
    ;

part
    : TEXT text                                                                 # textPart
    | moduleDefinition                                                          # modulePart
    | UNION unionName '(' moduleDefinition (',' moduleDefinition)* ')'          # unionPart
    | (SYSTEM | USER | ASSISTANT) (text | '(' part (',' part)* ')')             # rolePart
    ;

moduleDefinition
    : MODULE moduleName ('(' parameter (',' parameter)* ')')? AS moduleBody
    ;

moduleBody
    : text
    | FILE text
    | '(' part (',' part)* ')'
    ;

parameter
    : parameterName TOKENS '(' wholeNumber ')' (DEFAULT text)?
    ;

scaffold
    : SCAFFOLD scaffoldName '(' modulePath (',' modulePath)* ')'
    ;

// ---- Queries -----------------------------------------------------------------------------------

query
    : SELECT GENERATE optionList? FROM querySource useClause? promptClause? withOptions?
                                                            # generateQuery
    | SELECT selectItem (',' selectItem)* FROM systemTable whereClause? groupClause? orderClause?
        limitClause?                                        # systemQuery
    | SELECT (TOKENS | LOGPROBS | EMBEDDING) optionList? FROM querySource useClause? promptClause?
        withOptions?                                        # inspectQuery
    ;

querySource
    : schemaName
    | PML text (USING modelName)?
    ;

useClause
    : USE useItem (',' useItem)*
    ;

useItem
    : modulePath ('(' (useArgument (',' useArgument)*)? ')')?   # useModule
    | textValue                                                 # useText
    | (USER | ASSISTANT) textValue                              # useRoleText
    ;

useArgument
    : parameterName '=>' textValue
    ;

promptClause
    : PROMPT textValue                                      # promptText
    | PROMPT IN '(' textValue (',' textValue)* ')'          # promptIn
    ;

selectItem
    : '*'
    | operand (AS name)?
    ;

whereClause
    : WHERE condition
    ;

condition
    : conjunction (OR conjunction)*
    ;

conjunction
    : predicate (AND predicate)*
    ;

predicate
    : NOT? '(' condition ')'
    | operand ('=' | '<>' | '!=' | '<' | '<=' | '>' | '>=') operand
    | operand IS NOT? NULL_
    | operand NOT? LIKE textValue
    | operand NOT? IN '(' constant (',' constant)* ')'
    | operand NOT? BETWEEN operand AND operand
    ;

operand
    : columnName ('(' ('*' | DISTINCT? columnName) ')')?
    | constant
    | NULL_
    ;

groupClause
    : GROUP BY operand (',' operand)*
    ;

orderClause
    : ORDER BY orderItem (',' orderItem)*
    ;

orderItem
    : operand (ASC | DESC)?
    ;

limitClause
    : LIMIT wholeNumber (OFFSET wholeNumber)?
    ;

// ---- Options and values ------------------------------------------------------------------------

withOptions
    : WITH optionList
    ;

optionList
    : '(' option (',' option)* ')'
    ;

option
    : optionName ('=' | '=>') literal
    ;

literal
    : constant
    | word
    ;

constant
    : text
    | '-'? (INTEGER | DECIMAL)
    | TRUE
    | FALSE
    | ON
    | OFF
    | PARAMETER
    ;

textValue
    : text
    | PARAMETER
    ;

text
    : TEXT_LITERAL
    ;

wholeNumber
    : INTEGER
    ;

word
    : IDENTIFIER
    | SYSTEM_TABLE
    | nonReserved
    ;

// ---- Names -------------------------------------------------------------------------------------

modelName     : name ;
schemaName    : name ;
moduleName    : name ;
unionName     : name ;
scaffoldName  : name ;
parameterName : name ;
preparedName  : name ;
chatName      : name ;
userName      : name ;
keyName       : name ;
optionName    : name ;
settingName   : name ;

modulePath
    : moduleName ('.' moduleName)*
    ;

columnName
    : IDENTIFIER
    | QUOTED_NAME
    | SYSTEM_TABLE
    | columnWord
    ;

systemTable
    : SYSTEM_TABLE
    ;

name
    : IDENTIFIER
    | QUOTED_NAME
    | SYSTEM_TABLE
    | nonReserved
    ;

// Keywords that are names wherever the grammar wants a name.
nonReserved
    : columnWord
    | EMBEDDING
    | GENERATE
    | LOGPROBS
    ;

// The same, less the words that stand for a kind of query right after SELECT.
columnWord
    : ADD | ALTER | ANALYZE | ASC | ASSISTANT | BACKUP | BEGIN | CACHE | CASCADE | CHAT | CHATS
    | CHECK | CONNECTIONS | CONTINUE | CPU | DATABASE | DEALLOCATE | DEFAULT | DESC | DESCRIBE
    | DISK | DROP | END | EVICT | EXECUTE | EXPLAIN | EXPORT | FILE | FORK | FORMAT | GPU | GRANT
    | GRANTS | IMPORT | JSON | KEY | KEYS | MODEL | MODELS | MODULE | MODULES | PASSWORD | PIN | PML | PREPARE | RENAME
    | REPLACE | RESET | RESTORE | REVOKE | SCAFFOLD | SCHEMA | SCHEMAS | SET | SETTINGS | SHOW
    | STATES | STATS | SYSTEM | TEXT | TOKENS | UNION | UNPIN | USER | USERS | VACUUM | WARM
    ;

// ---- Keywords ----------------------------------------------------------------------------------

ADD: 'ADD';
ALTER: 'ALTER';
ANALYZE: 'ANALYZE';
AND: 'AND';
AS: 'AS';
ASC: 'ASC';
ASSISTANT: 'ASSISTANT';
BACKUP: 'BACKUP';
BEGIN: 'BEGIN';
BETWEEN: 'BETWEEN';
BY: 'BY';
CACHE: 'CACHE';
CASCADE: 'CASCADE';
CHAT: 'CHAT';
CHATS: 'CHATS';
CHECK: 'CHECK';
CONNECTIONS: 'CONNECTIONS';
CONTINUE: 'CONTINUE';
CPU: 'CPU';
CREATE: 'CREATE';
DATABASE: 'DATABASE';
DEALLOCATE: 'DEALLOCATE';
DEFAULT: 'DEFAULT';
DESC: 'DESC';
DESCRIBE: 'DESCRIBE';
DISK: 'DISK';
DISTINCT: 'DISTINCT';
DROP: 'DROP';
EMBEDDING: 'EMBEDDING';
END: 'END';
EVICT: 'EVICT';
EXECUTE: 'EXECUTE';
EXISTS: 'EXISTS';
EXPLAIN: 'EXPLAIN';
EXPORT: 'EXPORT';
FALSE: 'FALSE';
FILE: 'FILE';
FORK: 'FORK';
FORMAT: 'FORMAT';
FROM: 'FROM';
GENERATE: 'GENERATE';
GPU: 'GPU';
GRANT: 'GRANT';
GRANTS: 'GRANTS';
GROUP: 'GROUP';
IF: 'IF';
IMPORT: 'IMPORT';
IN: 'IN';
IS: 'IS';
JSON: 'JSON';
KEY: 'KEY';
KEYS: 'KEYS';
LIKE: 'LIKE';
LIMIT: 'LIMIT';
LOGPROBS: 'LOGPROBS';
MODEL: 'MODEL';
MODELS: 'MODELS';
MODULE: 'MODULE';
MODULES: 'MODULES';
NOT: 'NOT';
NULL_: 'NULL';
OFF: 'OFF';
OFFSET: 'OFFSET';
ON: 'ON';
OR: 'OR';
ORDER: 'ORDER';
PASSWORD: 'PASSWORD';
PIN: 'PIN';
PML: 'PML';
PREPARE: 'PREPARE';
PROMPT: 'PROMPT';
RENAME: 'RENAME';
REPLACE: 'REPLACE';
RESET: 'RESET';
RESTORE: 'RESTORE';
REVOKE: 'REVOKE';
SCAFFOLD: 'SCAFFOLD';
SCHEMA: 'SCHEMA';
SCHEMAS: 'SCHEMAS';
SELECT: 'SELECT';
SET: 'SET';
SETTINGS: 'SETTINGS';
SHOW: 'SHOW';
STATES: 'STATES';
STATS: 'STATS';
SYSTEM: 'SYSTEM';
TEXT: 'TEXT';
TO: 'TO';
TOKENS: 'TOKENS';
TRUE: 'TRUE';
UNION: 'UNION';
UNPIN: 'UNPIN';
USE: 'USE';
USER: 'USER';
USERS: 'USERS';
USING: 'USING';
VACUUM: 'VACUUM';
WARM: 'WARM';
WHERE: 'WHERE';
WITH: 'WITH';

// ---- Punctuation -------------------------------------------------------------------------------

LEFT_PARENTHESIS: '(';
RIGHT_PARENTHESIS: ')';
COMMA: ',';
DOT: '.';
STAR: '*';
MINUS: '-';
ARROW: '=>';
EQUAL: '=';
NOT_EQUAL: '<>';
BANG_EQUAL: '!=';
LESS: '<';
LESS_EQUAL: '<=';
GREATER: '>';
GREATER_EQUAL: '>=';
SEMICOLON: ';';

// ---- Other tokens ------------------------------------------------------------------------------

// The names of system tables stand apart, so that SELECT tokens FROM pc_modules and
// SELECT TOKENS FROM cities are told apart by their grammar.
SYSTEM_TABLE: 'PC_' NAME_PART*;
IDENTIFIER: NAME_START NAME_PART*;
QUOTED_NAME: '"' ('""' | ~'"')* '"';
TEXT_LITERAL: '\'' ('\'\'' | ~'\'')* '\'' | '$$' .*? '$$';
DECIMAL: DIGIT+ '.' DIGIT* EXPONENT? | '.' DIGIT+ EXPONENT? | DIGIT+ EXPONENT;
INTEGER: DIGIT+;
PARAMETER: '$' DIGIT+;

LINE_COMMENT: '--' ~[\r\n]* -> channel(HIDDEN);
BLOCK_COMMENT: '/*' (BLOCK_COMMENT | .)*? '*/' -> channel(HIDDEN);
WHITESPACE: [ \t\r\n\u000B\u000C\u0085\u2028\u2029\uFEFF\p{Zs}]+ -> channel(HIDDEN);
UNKNOWN: .;

fragment NAME_START: [_\p{L}];
fragment NAME_PART: [_\p{L}\p{M}\p{Nd}];
fragment DIGIT: [0-9];
fragment EXPONENT: 'E' [+-]? DIGIT+;
