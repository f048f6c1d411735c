#include "training/curriculum.h"

#include <algorithm>
#include <string>

#include "tokenizer/bpe_trainer.h"

namespace promptdb {

namespace {

constexpr float kQuestionWeight = 0.1f;
constexpr float kAnswerWeight = 1.0f;
// At most this many positions are left for questions and answers when gaps are drawn.
constexpr int kRoomForQuestions = 96;
constexpr int kRepetitionRows = 256;

// Messages as the questions are put (see corpus/corpus.h).
constexpr char kChatTemplate[] =
    "{% for message in messages %}{% if message['role'] == 'user' %}Question: "
    "{{ message['content'] }}\nAnswer:{% elif message['role'] == 'assistant' %} "
    "{{ message['content'] }}\n{% else %}{{ message['content'] }}\n{% endif %}{% endfor %}";

CorpusOptions LastStage() {
  CorpusOptions options;
  options.questions = 12;
  options.two_document_share = 0.15;
  return options;
}

}  // namespace

struct Curriculum::Stage {
  CorpusOptions corpus;
  double repetitions = 0;  // share of the samples
  double stories = 0;
  float document_weight = 0;
};

Curriculum::Stage Curriculum::StageOf(int step) {
  Stage stage;
  stage.corpus = LastStage();
  stage.repetitions = step < 1500 ? 0.5 : step < 2500 ? 0.1 : 0;
  stage.stories = 0.05;
  stage.document_weight = step < 3000 ? 0.3f : step < 5000 ? 0.1f : 0.02f;
  CorpusOptions& corpus = stage.corpus;
  if (step < 4400) corpus.two_document_share = 0;
  if (step < 1500) {
    corpus.min_documents = 2;
    corpus.max_documents = 4;
    corpus.min_facts = 2;
    corpus.max_facts = 4;
    corpus.questions = 4;
    corpus.wordings = 1;
    corpus.syllables = 2;
    corpus.short_names = 0;
  } else if (step < 2200) {
    corpus.min_documents = 2;
    corpus.max_documents = 8;
    corpus.questions = 8;
    corpus.wordings = 2;
    corpus.short_names = 0;
  } else if (step < 3000) {
    corpus.min_documents = 2;
    corpus.max_documents = 10;
    corpus.questions = 10;
    corpus.short_names = 0.2;
  } else if (step < 3500) {
    corpus.min_documents = 2;
    corpus.max_documents = 5;
    corpus.short_names = 0.2;
  } else if (step < 4000) {
    // By now it copies a value of the right kind; whose value it is, few documents teach sooner.
    corpus.kinds = 1;
    corpus.min_documents = 2;
    corpus.max_documents = 3;
    corpus.wordings = 1;
    corpus.syllables = 2;
    corpus.statements = 0.3;
    corpus.short_names = 0;
  } else if (step < 4400) {
    corpus.kinds = 2;
    corpus.min_documents = 2;
    corpus.max_documents = 5;
    corpus.statements = 0.15;
    corpus.short_names = 0.2;
  } else if (step < 5000) {
    corpus.min_documents = 2;
    corpus.max_documents = 10;
    corpus.short_names = 0.4;
    corpus.two_document_share = 0.1;
  } else if (step < 6200) {
    // Many of one kind, whose names alone tell them apart.
    corpus.kinds = 2;
    corpus.min_documents = 3;
    corpus.max_documents = 9;
    corpus.questions = 16;
    corpus.two_document_share = 0.1;
  }
  return stage;
}

BpeVocabulary TrainCorpusVocabulary(int size, uint64_t seed) {
  BpeTrainerOptions options;
  options.vocab_size = size;
  options.special_tokens = {"<s>", "</s>"};
  options.bos = "<s>";
  options.eos = "</s>";
  options.chat_template = kChatTemplate;
  BpeTrainer trainer(options);
  Corpus corpus(CorpusSplit::kTraining, seed);
  for (int i = 0; i < 3000; ++i) {
    const CorpusPrompt prompt = corpus.NextPrompt(LastStage());
    for (const std::string& document : prompt.documents) trainer.Add(document);
    for (const CorpusQuestion& question : prompt.questions) {
      trainer.Add("Question: " + question.text + "\nAnswer: " + question.answer + "\n");
    }
    trainer.Add(corpus.NextStory());
  }
  return trainer.Train();
}

Curriculum::Curriculum(const Tokenizer& tokenizer, int context, int rows, uint64_t seed)
    : tokenizer_(tokenizer), context_(context), rows_(rows), seed_(seed) {}

TrainingBatch Curriculum::BatchOf(int step) const {
  const Stage stage = StageOf(step);
  Random random(seed_ * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(step));
  Corpus corpus(CorpusSplit::kTraining, random.Next());
  TrainingBatch batch;
  while (batch.rows() < rows_) {
    const double kind = random.Fraction();
    if (kind < stage.repetitions) {
      AddRepetition(batch, random);
    } else if (kind < stage.repetitions + stage.stories) {
      AddStories(batch, corpus, random);
    } else {
      const double layout = random.Fraction();
      AddQuestions(batch, corpus.NextPrompt(stage.corpus),
                   layout < 0.4   ? DocumentLayout::kPlain
                   : layout < 0.5 ? DocumentLayout::kGaps
                                  : DocumentLayout::kModules,
                   stage.document_weight, random);
    }
  }
  return batch;
}

TrainingBatch Curriculum::Evaluation(DocumentLayout layout, int questions) const {
  Random random(seed_ + 1);
  Corpus corpus(CorpusSplit::kHeldOut, random.Next());
  TrainingBatch batch;
  while (static_cast<int>(batch.answers.size()) < questions) {
    AddQuestions(batch, corpus.NextPrompt(LastStage()), layout, 0, random);
  }
  return batch;
}

void Curriculum::AddRepetition(TrainingBatch& batch, Random& random) const {
  // Special tokens have the first ids.
  const int specials = 2;
  std::vector<TokenId> pattern(random.Between(8, 64));
  for (TokenId& token : pattern) token = random.Between(specials, tokenizer_.vocab_size() - 1);
  std::vector<TokenId> tokens{*tokenizer_.bos_id()};
  while (tokens.size() < kRepetitionRows) {
    tokens.insert(tokens.end(), pattern.begin(), pattern.end());
  }
  tokens.resize(kRepetitionRows);
  const RowSpan rows = SampleWriter(batch).Add(tokens, 0, {}, 1.0f);
  // The first time it can't be known.
  for (size_t i = 0; i < pattern.size(); ++i) batch.weights[rows.begin + i] = 0;
}

void Curriculum::AddStories(TrainingBatch& batch, Corpus& corpus, Random& random) const {
  std::string text;
  for (int left = random.Between(1, 6); left > 0; --left) text += corpus.NextStory();
  std::vector<TokenId> tokens = tokenizer_.Encode(text);
  tokens.insert(tokens.begin(), *tokenizer_.bos_id());
  if (static_cast<int>(tokens.size()) > context_) tokens.resize(context_);
  SampleWriter(batch).Add(tokens, 0, {}, 0.3f);
}

void Curriculum::AddQuestions(TrainingBatch& batch, const CorpusPrompt& prompt,
                              DocumentLayout layout, float document_weight, Random& random) const {
  std::vector<std::vector<TokenId>> documents;
  int document_tokens = 0;
  for (const std::string& document : prompt.documents) {
    documents.push_back(tokenizer_.Encode(document));
    document_tokens += static_cast<int>(documents.back().size());
  }
  std::vector<TokenId> first{*tokenizer_.bos_id()};
  if (random.Chance(0.3)) {
    Corpus introduction(CorpusSplit::kTraining, random.Next());
    const std::vector<TokenId> tokens = tokenizer_.Encode(introduction.NextStory());
    first.insert(first.end(), tokens.begin(), tokens.end());
  }
  int spare = context_ - kRoomForQuestions - document_tokens - static_cast<int>(first.size());
  if (spare < 0) return;

  SampleWriter writer(batch);
  const RowSpan root = writer.Add(first, 0, {}, document_weight);
  int position = root.size();
  int last = root.end - 1;  // the row before the next document
  for (const std::vector<TokenId>& document : documents) {
    if (layout != DocumentLayout::kPlain && spare > 0 && random.Chance(0.5)) {
      const int gap = random.Between(0, spare / 2);
      position += gap;
      spare -= gap;
    }
    const bool is_module = layout == DocumentLayout::kModules;
    const RowSpan rows = writer.Add(
        document, position, {is_module ? root : RowSpan{root.begin, last + 1}}, document_weight);
    if (!is_module) writer.SetTarget(last, document[0], document_weight);
    last = rows.end - 1;
    position += rows.size();
  }

  // Questions do not see each other, unless they are one chat.
  const RowSpan all{root.begin, last + 1};
  const bool is_chat = random.Chance(0.15);
  RowSpan seen = all;
  for (const CorpusQuestion& question : prompt.questions) {
    if (is_chat && position + kRoomForQuestions > context_) break;
    const bool is_bare = question.is_statement || (!is_chat && random.Chance(0.3));
    std::vector<TokenId> tokens =
        tokenizer_.Encode(is_bare ? question.text : "Question: " + question.text + "\nAnswer:");
    const int asked = static_cast<int>(tokens.size());
    const std::vector<TokenId> answer = tokenizer_.Encode(" " + question.answer);
    tokens.insert(tokens.end(), answer.begin(), answer.end());
    if (is_chat) {
      const std::vector<TokenId> end = tokenizer_.Encode("\n");
      tokens.insert(tokens.end(), end.begin(), end.end());
    }
    const RowSpan rows = writer.Add(tokens, position, {seen}, kQuestionWeight);
    writer.SetAnswer({rows.begin + asked - 1, rows.begin + asked + static_cast<int>(answer.size())},
                     *tokenizer_.eos_id(), kAnswerWeight);
    if (is_chat) {
      seen.end = rows.end;
      position += rows.size();
    }
  }
}

}  // namespace promptdb
