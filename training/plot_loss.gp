# The course of a training as a picture, by gnuplot:
#
#   gnuplot -e "csv='loss.csv'; out='loss.svg'" training/plot_loss.gp
#
# An `out` that ends in .png becomes a PNG. On the left the losses, on the right the answers that
# are right token by token: of the batches trained on, and of held-out documents.

if (!exists("csv")) csv = "loss.csv"
if (!exists("out")) out = "loss.svg"

if (out[strlen(out)-3:] eq ".png") {
  set terminal pngcairo size 1100,420 font "sans,10"
} else {
  set terminal svg size 1100,420 font "sans,11" background rgb "white"
}
set output out

set datafile separator ","
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
set xlabel "step"

set multiplot layout 1,2
set key top right
set title "loss, in nats a token"
set yrange [0:*]
plot csv using 1:2 every ::1 with lines title "all, weighted" lc rgb "#2a6f97", \
     csv using 1:3 every ::1 with lines title "answers" lc rgb "#9d4edd"
set key bottom right
set title "answers that are right, in percent"
set yrange [0:100]
plot csv using 1:($4 * 100) every ::1 with lines title "of the batches" lc rgb "#a9d6e5", \
     csv using 1:($5 * 100) every ::1 with linespoints lc rgb "#2a6f97" pt 7 ps 0.5 title "held out, one text", \
     csv using 1:($6 * 100) every ::1 with linespoints lc rgb "#9d4edd" pt 7 ps 0.5 title "held out, modules"
unset multiplot
