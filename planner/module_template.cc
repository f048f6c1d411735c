#include "planner/module_template.h"

#include <algorithm>

#include "base/error.h"
#include "base/nearest_name.h"

namespace promptdb {

namespace {

constexpr char kBraceHint[] = "Write {{ and }} for literal braces.";

const ParameterDefinition& FindParameter(const std::string& name,
                                         const std::vector<ParameterDefinition>& parameters) {
  std::vector<std::string> names;
  for (const ParameterDefinition& parameter : parameters) {
    if (parameter.name == name) return parameter;
    names.push_back(parameter.name);
  }
  std::string hint = DidYouMean(name, names);
  if (hint.empty()) hint = kBraceHint;
  throw Error(ErrorCode::kUnknownName, "the text has {" + name + "}, which is no parameter", hint);
}

}  // namespace

std::vector<TemplatePiece> ParseTemplate(std::string_view text,
                                         const std::vector<ParameterDefinition>& parameters,
                                         std::set<std::string>& used) {
  if (parameters.empty()) return {{std::string(text), nullptr}};
  std::vector<TemplatePiece> pieces;
  std::string literal;
  const auto end_literal = [&] {
    if (!literal.empty()) pieces.push_back({std::move(literal), nullptr});
    literal.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '{' && c != '}') {
      literal += c;
    } else if (i + 1 < text.size() && text[i + 1] == c) {
      literal += c;
      ++i;
    } else if (c == '}') {
      throw Error(ErrorCode::kInvalidArgument, "the text has a } that closes nothing", kBraceHint);
    } else {
      const size_t end = text.find('}', i);
      if (end == std::string_view::npos) {
        throw Error(ErrorCode::kInvalidArgument, "the text has a { that is not closed", kBraceHint);
      }
      const std::string name(text.substr(i + 1, end - i - 1));
      const ParameterDefinition& parameter = FindParameter(name, parameters);
      if (!used.insert(name).second) {
        throw Error(ErrorCode::kInvalidArgument, "{" + name + "} stands twice in the module",
                    "Declare a second parameter for the second place.");
      }
      end_literal();
      pieces.push_back({"", &parameter});
      i = end;
    }
  }
  end_literal();
  return pieces;
}

void CheckAllUsed(const std::vector<ParameterDefinition>& parameters,
                  const std::set<std::string>& used) {
  for (const ParameterDefinition& parameter : parameters) {
    if (!used.contains(parameter.name)) {
      throw Error(ErrorCode::kInvalidArgument,
                  "the text has no {" + parameter.name + "}, which is a parameter",
                  "Put {" + parameter.name + "} where its value goes.");
    }
  }
}

}  // namespace promptdb
