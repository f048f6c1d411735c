// Aligned tables, and their expanded form: both must see every row before the first is written.
#include <algorithm>

#include "shell/display_text.h"
#include "shell/row_formatter.h"

namespace promptdb {

namespace {

using Cell = std::vector<std::string>;  // its lines

void TrimRight(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

std::string RowCount(size_t rows) {
  return rows == 1 ? "(1 row)\n" : "(" + std::to_string(rows) + " rows)\n";
}

size_t CellWidth(const Cell& cell) {
  size_t width = 0;
  for (const std::string& line : cell) width = std::max(width, DisplayWidth(line));
  return width;
}

class TableFormatter : public RowFormatter {
 public:
  TableFormatter(Output& out, Expanded expanded, size_t max_width)
      : out_(out), expanded_(expanded), max_width_(max_width) {}

  void Begin(const std::vector<Column>& columns) override {
    for (const Column& column : columns) {
      names_.push_back(CellLines(column.name).front());
      right_aligned_.push_back(column.type == Column::Type::kInteger ||
                               column.type == Column::Type::kReal);
      widths_.push_back(DisplayWidth(names_.back()));
    }
  }

  void Row(const std::vector<Value>& row) override {
    std::vector<Cell> cells;
    for (size_t i = 0; i < row.size(); ++i) {
      cells.push_back(CellLines(FormatValue(row[i])));
      widths_[i] = std::max(widths_[i], CellWidth(cells.back()));
    }
    rows_.push_back(std::move(cells));
  }

  void End() override {
    size_t table_width = widths_.size() - 1;
    for (const size_t width : widths_) table_width += width + 2;
    const bool too_wide = expanded_ == Expanded::kAuto && table_width > max_width_;
    if (expanded_ == Expanded::kOn || (too_wide && !rows_.empty())) {
      WriteExpanded();
    } else {
      WriteTable();
    }
  }

 private:
  void WriteTable() {
    std::string header, rule;
    for (size_t i = 0; i < names_.size(); ++i) {
      const size_t space = widths_[i] - DisplayWidth(names_[i]);
      if (i > 0) header += '|', rule += '+';
      header +=
          ' ' + std::string(space / 2, ' ') + names_[i] + std::string(space - space / 2, ' ') + ' ';
      rule.append(widths_[i] + 2, '-');
    }
    TrimRight(header);
    out_.Write(header + "\n" + rule + "\n");
    for (const std::vector<Cell>& row : rows_) WriteTableRow(row);
    out_.Write(RowCount(rows_.size()));
  }

  void WriteTableRow(const std::vector<Cell>& row) {
    size_t height = 1;
    for (const Cell& cell : row) height = std::max(height, cell.size());
    for (size_t k = 0; k < height; ++k) {
      std::string line;
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string text = k < row[i].size() ? row[i][k] : "";
        const std::string space(widths_[i] - DisplayWidth(text), ' ');
        if (i > 0) line += '|';
        line += ' ';
        line += right_aligned_[i] ? space + text : text + space;
        // The plus says that the cell goes on in the next line.
        line += k + 1 < row[i].size() ? '+' : ' ';
      }
      TrimRight(line);
      out_.Write(line + "\n");
    }
  }

  void WriteExpanded() {
    if (rows_.empty()) out_.Write(RowCount(0));
    size_t name_width = 0, value_width = 0;
    for (const std::string& name : names_) name_width = std::max(name_width, DisplayWidth(name));
    for (const std::vector<Cell>& row : rows_) {
      for (const Cell& cell : row) value_width = std::max(value_width, CellWidth(cell));
    }
    const size_t rule_width = std::min(
        value_width, max_width_ > name_width + 3 ? max_width_ - name_width - 3 : size_t{1});
    for (size_t r = 0; r < rows_.size(); ++r) {
      std::string rule = "-[ RECORD " + std::to_string(r + 1) + " ]";
      if (rule.size() < name_width + 1) rule.append(name_width + 1 - rule.size(), '-');
      const size_t bar = rule.size();
      rule += bar == name_width + 1 ? "+" : "-";
      const size_t full = name_width + 3 + rule_width;
      if (rule.size() < full) rule.append(full - rule.size(), '-');
      out_.Write(rule + "\n");
      for (size_t i = 0; i < names_.size(); ++i) {
        for (size_t k = 0; k < rows_[r][i].size(); ++k) {
          std::string line = k == 0 ? names_[i] : "";
          line.append(name_width - DisplayWidth(line), ' ');
          line += " | " + rows_[r][i][k];
          if (k + 1 < rows_[r][i].size()) {
            line.append(value_width - DisplayWidth(rows_[r][i][k]), ' ');
            line += '+';
          }
          TrimRight(line);
          out_.Write(line + "\n");
        }
      }
    }
  }

  Output& out_;
  const Expanded expanded_;
  const size_t max_width_;
  std::vector<std::string> names_;
  std::vector<bool> right_aligned_;
  std::vector<size_t> widths_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace

std::unique_ptr<RowFormatter> MakeTableFormatter(Output& out, Expanded expanded, size_t max_width) {
  return std::make_unique<TableFormatter>(out, expanded, max_width);
}

}  // namespace promptdb
