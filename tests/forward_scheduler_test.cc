// Passes of many callers put together: each gets what it would have got alone.
#include "executor/forward_scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>
#include <thread>

#include "base/error.h"
#include "executor/session.h"
#include "tests/chat_bench.h"
#include "tests/support/test_folder.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

class ForwardSchedulerTest : public testing::Test {
 protected:
  ForwardSchedulerTest() {
    TinyModel tiny = TinyModel::Of("llama");
    tiny.context = 4096;
    const std::string path = (folder_ / "m.gguf").string();
    WriteGguf(tiny, path, TensorDtype::kF32);
    weights_ = Transformer::Load(Checkpoint::Open(path), {.kv_dtype = KvDtype::kF32}, nullptr);
  }

  std::vector<int32_t> Tokens(int count, uint32_t seed) const {
    std::mt19937 random(seed);
    std::vector<int32_t> tokens;
    for (int i = 0; i < count; ++i) {
      tokens.push_back(
          static_cast<int32_t>(random() % static_cast<uint32_t>(weights_->config().vocab)));
    }
    return tokens;
  }

  // A batch that adds tokens to `own`, behind `context`.
  static ForwardBatch BatchOf(const std::vector<int32_t>& tokens, const KvSegment* context,
                              KvSegment& own) {
    ForwardBatch batch;
    batch.tokens = tokens;
    const auto count = static_cast<int>(tokens.size());
    for (int i = 0; i < count; ++i) {
      batch.positions.push_back(own.start_position() + own.tokens() + i);
    }
    RowGroup group{count, {}, &own};
    if (context != nullptr) group.context.push_back({context, 0, context->tokens()});
    batch.groups.push_back(std::move(group));
    batch.logits_of = {count - 1};
    return batch;
  }

  // Greedy tokens behind a prompt, by whatever computes passes.
  template <typename Passes>
  std::vector<int32_t> Answer(Passes& passes, const KvSegment* context, int start,
                              const std::vector<int32_t>& prompt, int steps) const {
    KvSegment own(weights_->kv_shape(), start, static_cast<int>(prompt.size()));
    std::vector<int32_t> answer, next = prompt;
    for (int step = 0; step < steps; ++step) {
      const std::vector<float> logits = passes.Forward(BatchOf(next, context, own));
      next = {
          static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin())};
      answer.push_back(next.front());
    }
    return answer;
  }

  TemporaryFolder folder_{"scheduler"};
  std::unique_ptr<Transformer> weights_;
};

TEST_F(ForwardSchedulerTest, EveryCallerGetsWhatItWouldGetAlone) {
  ForwardScheduler scheduler(weights_.get());
  KvSegment document(weights_->kv_shape(), 0, 300);
  weights_->Forward(BatchOf(Tokens(300, 1), nullptr, document));
  constexpr int kCallers = 12;
  std::vector<std::vector<int32_t>> expected, answers(kCallers);
  const auto prompt = [&](int i) { return Tokens(3 + i * 17, static_cast<uint32_t>(i)); };
  const auto context = [&](int i) { return i % 3 == 0 ? nullptr : &document; };
  for (int i = 0; i < kCallers; ++i) {
    expected.push_back(Answer(*weights_, context(i), 300, prompt(i), 20));
  }
  std::vector<std::thread> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([&, i] {
      const ForwardScheduler::Participant participant(scheduler);
      answers[i] = Answer(scheduler, context(i), 300, prompt(i), 20);
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(answers, expected);
  const ForwardScheduler::Stats stats = scheduler.stats();
  EXPECT_EQ(stats.batches >= stats.passes, true);
  EXPECT_LT(stats.passes, kCallers * 20);  // some went together
  EXPECT_GT(stats.most_batches, 1);
  // And alone again, which makes a pass of each step.
  EXPECT_EQ(Answer(scheduler, &document, 300, prompt(1), 20), expected[1]);
  EXPECT_EQ(scheduler.stats().passes, stats.passes + 20);
}

TEST_F(ForwardSchedulerTest, ALongPromptIsComputedInPiecesBetweenTheStepsOfAnswers) {
  ForwardScheduler scheduler(weights_.get());
  const std::vector<int32_t> long_prompt = Tokens(3000, 5);
  const std::vector<int32_t> expected = Answer(*weights_, nullptr, 0, long_prompt, 3);
  std::atomic<bool> is_prefilled = false;
  std::atomic<int> steps = 0;
  std::vector<std::thread> decoders;
  for (int i = 0; i < 3; ++i) {
    decoders.emplace_back([&, i] {
      const ForwardScheduler::Participant participant(scheduler);
      KvSegment own(weights_->kv_shape(), 0, 0);
      std::vector<int32_t> next = Tokens(4, static_cast<uint32_t>(i));
      while (!is_prefilled) {
        scheduler.Forward(BatchOf(next, nullptr, own));
        next = {7};
        ++steps;
        if (own.tokens() > 3000) break;
      }
    });
  }
  while (steps < 6) std::this_thread::yield();
  const int before = steps;
  {
    const ForwardScheduler::Participant participant(scheduler);
    EXPECT_EQ(Answer(scheduler, nullptr, 0, long_prompt, 3), expected);
  }
  EXPECT_GT(steps, before);
  is_prefilled = true;
  for (std::thread& decoder : decoders) decoder.join();
  EXPECT_GT(scheduler.stats().mixed_passes, 0);
}

// Holds up the pass of a caller that is alone, which asks it from within.
class HeldUp : public ProgressListener {
 public:
  void OnProgress(std::string_view, int64_t, int64_t, std::string_view) override {}
  bool IsCanceled() const override {
    is_inside_ = true;
    while (!is_open_) std::this_thread::yield();
    return false;
  }
  void AwaitInside() const {
    while (!is_inside_) std::this_thread::yield();
  }
  void Open() { is_open_ = true; }

 private:
  mutable std::atomic<bool> is_inside_ = false;
  std::atomic<bool> is_open_ = false;
};

TEST_F(ForwardSchedulerTest, AnUrgentPromptComesBeforeAShorterOne) {
  ForwardScheduler scheduler(weights_.get());
  HeldUp gate;
  std::vector<std::thread> callers;
  const auto call = [&](int tokens, const Urgency& urgency, ProgressListener* progress) {
    callers.emplace_back([&, tokens, urgency, progress] {
      const ForwardScheduler::Participant participant(scheduler);
      KvSegment own(weights_->kv_shape(), 0, tokens);
      scheduler.Forward(BatchOf(Tokens(tokens, 3), nullptr, own), progress, urgency);
    });
  };
  // One that goes on decoding, so that prompts come in pieces of kMixedRows.
  const ForwardScheduler::Participant decoder(scheduler);
  std::thread alone([&] {
    KvSegment own(weights_->kv_shape(), 0, 1);
    scheduler.Forward(BatchOf(Tokens(1, 3), nullptr, own), &gate);
  });
  gate.AwaitInside();
  call(300, {}, nullptr);
  call(600, {.priority = 1, .deadline = std::nullopt}, nullptr);
  while (scheduler.stats().waiting < 2) std::this_thread::yield();
  gate.Open();
  alone.join();
  for (std::thread& caller : callers) caller.join();
  // Four pieces of 128 rows; the rest of the fifth is the short one's.
  EXPECT_EQ(scheduler.stats().most_passed_over, 4);
}

class CancelingListener : public ProgressListener {
 public:
  explicit CancelingListener(int64_t after) : after_(after) {}
  void OnProgress(std::string_view, int64_t done, int64_t total, std::string_view) override {
    EXPECT_LE(done, total);
    is_canceled_ = is_canceled_ || done >= after_;
  }
  bool IsCanceled() const override { return is_canceled_; }

 private:
  int64_t after_;
  bool is_canceled_ = false;
};

TEST_F(ForwardSchedulerTest, WhoeverCancelsLeavesTheOthersAlone) {
  ForwardScheduler scheduler(weights_.get());
  const std::vector<int32_t> prompt = Tokens(40, 9);
  const std::vector<int32_t> expected = Answer(*weights_, nullptr, 0, prompt, 30);
  std::vector<std::thread> callers;
  std::atomic<int> canceled = 0;
  std::vector<std::vector<int32_t>> answers(3);
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&, i] {
      const ForwardScheduler::Participant participant(scheduler);
      answers[i] = Answer(scheduler, nullptr, 0, prompt, 30);
    });
    callers.emplace_back([&] {
      const ForwardScheduler::Participant participant(scheduler);
      KvSegment own(weights_->kv_shape(), 0, 3500);
      CancelingListener listener(1);
      try {
        scheduler.Forward(BatchOf(Tokens(3500, 2), nullptr, own), &listener);
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kCanceled) ++canceled;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(canceled, 3);
  for (const auto& answer : answers) EXPECT_EQ(answer, expected);
  // Alone, too.
  KvSegment own(weights_->kv_shape(), 0, 3500);
  CancelingListener listener(1);
  EXPECT_THROW(scheduler.Forward(BatchOf(Tokens(3500, 2), nullptr, own), &listener), Error);
}

TEST_F(ForwardSchedulerTest, SessionsOverOneModuleAnswerAsOneAfterAnother) {
  Bench bench(Tiny("llama", 1024));
  bench.Run(
      "CREATE SCHEMA s USING m (TEXT 'the beginning', MODULE a AS 'one text of several words', "
      "MODULE b AS 'another text')");
  const auto query = [](int i) {
    static const char* kUse[] = {"USE a", "USE b", "USE a, b"};
    static const char* kReuse[] = {"modular", "modular", "exact", "none"};
    return "SELECT GENERATE (max_tokens => 16, ignore_eos => true) FROM s " +
           std::string(kUse[i % 3]) + " PROMPT 'question number " + std::to_string(i) +
           "' WITH (reuse = '" + kReuse[i % 4] + "')";
  };
  constexpr int kSessions = 10;
  std::vector<std::string> expected, answers(kSessions);
  for (int i = 0; i < kSessions; ++i) expected.push_back(TextOf(bench.Run(query(i))));
  for (const bool cold : {false, true}) {
    if (cold) bench.EraseStates([] { return true; });
    std::vector<std::thread> sessions;
    for (int i = 0; i < kSessions; ++i) {
      sessions.emplace_back([&, i] { answers[i] = TextOf(Say(bench.database(), query(i))); });
    }
    for (std::thread& session : sessions) session.join();
    EXPECT_EQ(answers, expected);
  }
}

}  // namespace
}  // namespace promptdb
