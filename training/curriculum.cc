#include "training/curriculum.h"

#include <algorithm>
#include <iterator>
#include <limits>
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

constexpr double kStories = 0.05;  // share of the samples

struct Stage {
  int end = 0;                // the step at which the next one begins
  double repetitions = 0;     // share of the samples
  float document_weight = 0;  // of the loss
  CorpusOptions corpus;
};

constexpr Stage kStages[] = {
    {.end = 1500,
     .repetitions = 0.5,
     .document_weight = 0.3f,
     .corpus = {.min_documents = 2,
                .max_documents = 4,
                .min_facts = 2,
                .max_facts = 4,
                .questions = 4,
                .wordings = 1,
                .short_names = 0,
                .syllables = 2}},
    {.end = 2200,
     .repetitions = 0.1,
     .document_weight = 0.3f,
     .corpus =
         {.min_documents = 2, .max_documents = 8, .questions = 8, .wordings = 2, .short_names = 0}},
    {.end = 2500,
     .repetitions = 0.1,
     .document_weight = 0.3f,
     .corpus = {.min_documents = 2, .max_documents = 10, .questions = 10, .short_names = 0.2}},
    {.end = 3000,
     .document_weight = 0.3f,
     .corpus = {.min_documents = 2, .max_documents = 10, .questions = 10, .short_names = 0.2}},
    {.end = 3500,
     .document_weight = 0.1f,
     .corpus = {.min_documents = 2, .max_documents = 5, .questions = 12, .short_names = 0.2}},
    // By now it copies a value of the right kind; whose value it is, few documents teach sooner.
    {.end = 4000,
     .document_weight = 0.1f,
     .corpus = {.min_documents = 2,
                .max_documents = 3,
                .questions = 12,
                .kinds = 1,
                .statements = 0.3,
                .wordings = 1,
                .short_names = 0,
                .syllables = 2}},
    {.end = 4400,
     .document_weight = 0.1f,
     .corpus = {.min_documents = 2,
                .max_documents = 5,
                .questions = 12,
                .kinds = 2,
                .statements = 0.15,
                .short_names = 0.2}},
    {.end = 5000,
     .document_weight = 0.1f,
     .corpus =
         {.min_documents = 2, .max_documents = 10, .questions = 12, .two_document_share = 0.1}},
    // Many of one kind, whose names alone tell them apart.
    {.end = 6200,
     .document_weight = 0.02f,
     .corpus = {.min_documents = 3,
                .max_documents = 9,
                .questions = 16,
                .two_document_share = 0.1,
                .kinds = 2}},
    {.end = std::numeric_limits<int>::max(),
     .document_weight = 0.02f,
     .corpus = {.questions = 12, .two_document_share = 0.15}},
};

// What the model is to know in the end.
constexpr const CorpusOptions& kLastCorpus = std::end(kStages)[-1].corpus;

const Stage& StageOf(int step) {
  return *std::find_if(std::begin(kStages), std::end(kStages),
                       [&](const Stage& stage) { return step < stage.end; });
}

}  // namespace

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
    const CorpusPrompt prompt = corpus.NextPrompt(kLastCorpus);
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
  const Stage& stage = StageOf(step);
  Random random(seed_ * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(step));
  Corpus corpus(CorpusSplit::kTraining, random.Next());
  TrainingBatch batch;
  while (batch.rows() < rows_) {
    const double kind = random.Fraction();
    if (kind < stage.repetitions) {
      AddRepetition(batch, random);
    } else if (kind < stage.repetitions + kStories) {
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
    AddQuestions(batch, corpus.NextPrompt(kLastCorpus), layout, 0, random);
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
