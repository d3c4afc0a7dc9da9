"use strict";

// How the fields of a form become a request, and how the answers of a task are drawn. The forms are in index.html.

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

const TASKS = {
  "text-classification": {
    title: "Text classification",
    inputs: (form) => (form.text_pair ? { text: form.text, text_pair: form.text_pair } : form.text),
    options: (form) => ({ top_k: Number(form.top_k) }),
    draw: ([labels]) => bars(labels.map((one) => [one.label, one.score])),
  },
  "token-classification": {
    title: "Named entities",
    inputs: (form) => form.text,
    options: (form) => ({ aggregation_strategy: form.aggregation_strategy }),
    draw: ([entities], form) => entitiesOf(form.text, entities),
  },
  "question-answering": {
    title: "Question answering",
    inputs: (form) => ({ question: form.question, context: form.context }),
    options: (form) => ({ top_k: Number(form.top_k), handle_impossible_answer: form.handle_impossible_answer === "on" }),
    draw: ([found], form) => answersIn(form.context, [found].flat()),
  },
  "fill-mask": {
    title: "Fill in words",
    inputs: (form) => form.text,
    options: (form) => ({ top_k: Number(form.top_k) }),
    draw: ([words], form) => fillings(form.text, Array.isArray(words[0]) ? words : [words]),
  },
  "zero-shot-classification": {
    title: "Classification with your labels",
    inputs: (form) => form.text,
    options: (form) => ({
      candidate_labels: form.labels.split(",").map((label) => label.trim()).filter(Boolean),
      hypothesis_template: form.hypothesis_template,
      multi_label: form.multi_label === "on",
    }),
    draw: ([found]) => bars(found.labels.map((label, index) => [label, found.scores[index]])),
  },
  "multiple-choice": {
    title: "Multiple choice",
    inputs: (form) => ({ text: form.text, choices: lines(form.choices) }),
    options: () => ({}),
    draw: ([choices]) => bars(choices.map((one) => [one.choice, one.score])),
  },
  "next-sentence-prediction": {
    title: "Next sentence",
    inputs: (form) => ({ text: form.text, text_pair: form.text_pair }),
    options: () => ({ top_k: 2 }),
    draw: ([labels]) => bars(labels.map((one) => [NEXT[one.label] ?? one.label, one.score])),
  },
  "sentence-similarity": {
    title: "Similarity",
    // An input for each sentence: its similarities to all of them are a row of the map.
    inputs: (form) => lines(form.sentences).map((one) => ({ source_sentence: one, sentences: lines(form.sentences) })),
    options: () => ({}),
    draw: (rows, form) => heatMap(lines(form.sentences), rows),
    check: (form) => {
      const count = lines(form.sentences).length;
      return count < 2 || count > 12 ? `There are ${count} sentences: type 2 to 12, one on each line.` : "";
    },
  },
  "feature-extraction": {
    title: "Vector",
    inputs: (form) => form.text,
    options: (form) => ({ pooling: form.pooling }),
    draw: ([vector]) => vectorPicture(vector),
  },
  "sentence-scoring": {
    title: "How usual a text is",
    inputs: (form) => form.text,
    options: (form) => ({ tokens: true, whole_words: form.whole_words === "on" }),
    draw: ([score]) => scored(score),
  },
  "text-generation": {
    title: "Continue a text",
    inputs: (form) => form.text,
    options: (form) => ({ max_new_tokens: Number(form.max_new_tokens), do_sample: form.do_sample === "on" }),
    draw: ([[found]], form) => continued(form.text, found.generated_text),
  },
  "summarization": {
    title: "Summary",
    inputs: (form) => form.text,
    options: (form) => ({ max_new_tokens: Number(form.max_new_tokens), num_beams: Number(form.num_beams) }),
    draw: ([[found]]) => element("p", "text", found.summary_text),
  },
  "text2text-generation": {
    title: "Text to text",
    inputs: (form) => form.text,
    options: (form) => ({ max_new_tokens: Number(form.max_new_tokens), num_beams: Number(form.num_beams) }),
    draw: ([[found]]) => element("p", "text", found.generated_text),
  },
};

const NEXT = { IsNext: "IsNext: the second follows the first", NotNext: "NotNext: it does not" };

/** Tasks that have no form of their own. */
const OTHER = {
  inputs: (form) => JSON.parse(form.inputs),
  options: (form) => JSON.parse(form.options),
  draw: (answers) => scrollable("Answers as JSON", element("pre", "", JSON.stringify(answers, null, 2))),
  check: (form) => {
    try {
      JSON.parse(form.inputs);
      JSON.parse(form.options);
      return "";
    } catch (error) {
      return `This is not JSON: ${error.message}`;
    }
  },
};
