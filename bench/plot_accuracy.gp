# The figures of bench/accuracy as a picture, by gnuplot:
#
#   gnuplot -e "csv='accuracy.csv'; out='accuracy.svg'" bench/plot_accuracy.gp
#
# An `out` that ends in .png becomes a PNG. On the left exact match and F1 (of texts: perplexity), on
# the right the KL divergence from reuse = none with f32 states.

if (!exists("csv")) csv = "accuracy.csv"
if (!exists("out")) out = "accuracy.svg"

if (out[strlen(out)-3:] eq ".png") {
  set terminal pngcairo size 1100,460 font "sans,10"
} else {
  set terminal svg size 1100,460 font "sans,11" background rgb "white"
}
set output out

set datafile separator ","
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.85 noborder
set boxwidth 0.9
set grid ytics lc rgb "#dddddd"
set border 3
set bmargin 6
set xtics rotate by -50
set tics nomirror
label(mode, dtype) = mode . " " . dtype

# Whether answers were scored: column 5 of the first row says something then.
is_of_answers = strlen(system("sed -n 2p '" . csv . "' | cut -d, -f5")) > 0

set multiplot layout 1,2
set key top left horizontal
if (is_of_answers) {
  set title "answers, in percent"
  set yrange [0:110]
  plot csv using 5:xtic(label(strcol(2), strcol(1))) every ::1 title "exact match" lc rgb "#2a6f97", \
       csv using 6 every ::1 title "F1" lc rgb "#a9d6e5"
} else {
  set title "perplexity"
  set yrange [0:*]
  plot csv using 10:xtic(label(strcol(2), strcol(1))) every ::1 notitle lc rgb "#2a6f97"
}
set title "KL divergence from reuse = none in f32, in nats"
set yrange [0:*]
plot csv using 8:xtic(label(strcol(2), strcol(1))) every ::1 title "all tokens" lc rgb "#9d4edd", \
     csv using 9 every ::1 title "first token" lc rgb "#e0aaff"
unset multiplot
