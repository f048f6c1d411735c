#include "parser/schema_ast.h"

#include <utility>

#include "PromptQLBaseVisitor.h"

namespace promptdb {

namespace {

using antlrcpp::Any;
using Grammar = grammar::PromptQLParser;

class PartBuilder : public grammar::PromptQLBaseVisitor {
 public:
  explicit PartBuilder(const SourceReader& reader) : reader_(reader) {}

  ast::Part PartOf(Grammar::PartContext* context) {
    ast::Part part;
    part.range = SourceReader::RangeOf(*context);
    ast::Part* const around = std::exchange(part_, &part);
    context->accept(this);
    part_ = around;
    return part;
  }

 private:
  // The visitors of the four kinds of part fill the part that PartOf() has made for them, and call
  // it again for the parts inside.
  Any visitTextPart(Grammar::TextPartContext* context) override {
    part_->kind = ast::Part::Kind::kText;
    part_->text = reader_.TextOf(context->text());
    return {};
  }

  Any visitModulePart(Grammar::ModulePartContext* context) override {
    ast::Part& part = *part_;  // before ModuleOf(), which moves part_ while it works
    part = ModuleOf(context->moduleDefinition());
    return {};
  }

  Any visitUnionPart(Grammar::UnionPartContext* context) override {
    ast::Part& part = *part_;
    part.kind = ast::Part::Kind::kUnion;
    part.name = reader_.NameOf(context->unionName());
    for (Grammar::ModuleDefinitionContext* member : context->moduleDefinition()) {
      part.children.push_back(ModuleOf(member));
    }
    return {};
  }

  Any visitRolePart(Grammar::RolePartContext* context) override {
    ast::Part& part = *part_;
    part.kind = ast::Part::Kind::kRole;
    part.role = SourceReader::RoleOf(*context);
    if (context->text() != nullptr) {
      ast::Part child;
      child.kind = ast::Part::Kind::kText;
      child.range = SourceReader::RangeOf(*context->text());
      child.text = reader_.TextOf(context->text());
      part.children.push_back(std::move(child));
    }
    for (Grammar::PartContext* child : context->part()) part.children.push_back(PartOf(child));
    return {};
  }

  ast::Part ModuleOf(Grammar::ModuleDefinitionContext* context) {
    ast::Part part;
    part.kind = ast::Part::Kind::kModule;
    part.range = SourceReader::RangeOf(*context);
    part.name = reader_.NameOf(context->moduleName());
    for (Grammar::ParameterContext* parameter : context->parameter()) {
      part.parameters.push_back(ParameterOf(parameter));
    }
    Grammar::ModuleBodyContext* body = context->moduleBody();
    if (body->FILE() != nullptr) {
      part.file = reader_.TextOf(body->text());
    } else if (body->text() != nullptr) {
      part.text = reader_.TextOf(body->text());
    }
    for (Grammar::PartContext* child : body->part()) part.children.push_back(PartOf(child));
    return part;
  }

  ast::Parameter ParameterOf(Grammar::ParameterContext* context) {
    ast::Parameter parameter;
    parameter.name = reader_.NameOf(context->parameterName());
    parameter.tokens_range = SourceReader::RangeOf(*context->wholeNumber());
    parameter.tokens = reader_.NumberOf(context->wholeNumber());
    if (context->text() != nullptr) parameter.default_value = reader_.TextOf(context->text());
    return parameter;
  }

  const SourceReader& reader_;
  ast::Part* part_ = nullptr;  // the part that is being built
};

}  // namespace

ast::Part BuildPart(const SourceReader& reader, Grammar::PartContext* context) {
  return PartBuilder(reader).PartOf(context);
}

ast::Scaffold BuildScaffold(const SourceReader& reader, Grammar::ScaffoldContext* context) {
  ast::Scaffold scaffold{
      reader.NameOf(context->scaffoldName()), {}, SourceReader::RangeOf(*context)};
  for (Grammar::ModulePathContext* member : context->modulePath()) {
    scaffold.members.push_back(reader.PathOf(member));
  }
  return scaffold;
}

}  // namespace promptdb
