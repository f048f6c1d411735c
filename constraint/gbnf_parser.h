// GBNF, llama.cpp's notation for grammars:
//
//   root   ::= "I am " age | "I won't tell"   # a comment
//   age    ::= [1-9] [0-9]?
//   quoted ::= "\"" ([^"\\\n] | "\\" .)* "\""
//
// Literals and classes know the escapes \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH, classes \- and
// \^ as well; `.` is any character; an element may be followed by *, +, ?, {n}, {n,} or {n,m}. A
// rule ends with its line, but goes on after ::= and |, before | and inside parentheses. The answer
// is what the rule `root` says.
#ifndef PROMPTDB_CONSTRAINT_GBNF_PARSER_H_
#define PROMPTDB_CONSTRAINT_GBNF_PARSER_H_

#include <string_view>

#include "constraint/grammar.h"

namespace promptdb {

// Throws Error whose message ends with the line and column in `text`.
Grammar ParseGbnf(std::string_view text);

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_GBNF_PARSER_H_
