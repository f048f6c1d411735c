// A test that runs in a child of its own program and is killed at work.
#ifndef PROMPTDB_TESTS_SUPPORT_KILLED_CHILD_H_
#define PROMPTDB_TESTS_SUPPORT_KILLED_CHILD_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace promptdb {

// Runs the disabled test `name` ("Suite.DISABLED_Name") of this program in a child with this
// environment. The child writes numbers to descriptor 3; `delay` after the first it gets SIGKILL.
// `*told`: all that it wrote. Call within ASSERT_NO_FATAL_FAILURE.
inline void RunUntilKilled(const std::string& name, std::chrono::microseconds delay,
                           std::vector<uint16_t>* told) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 3);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  std::string filter = "--gtest_filter=" + name;
  std::string disabled = "--gtest_also_run_disabled_tests";
  char* arguments[] = {const_cast<char*>(program.c_str()), filter.data(), disabled.data(), nullptr};
  pid_t child = 0;
  ASSERT_EQ(posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  // The first number tells that the child is at work; then it is killed at any point.
  uint16_t number = 0;
  const auto read_one = [&] { return read(ends[0], &number, sizeof(number)) == sizeof(number); };
  ASSERT_TRUE(read_one());
  told->assign(1, number);
  std::this_thread::sleep_for(delay);
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  while (read_one()) told->push_back(number);
  close(ends[0]);
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_KILLED_CHILD_H_
